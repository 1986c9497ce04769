import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { amount, compact, visible } from "./lib/format";
import { isDark } from "./lib/theme";

/** One line or stack of a chart. */
export interface Series {
  name: string;
  /** A value per point; none where there is none. */
  values: (number | null)[];
}

export interface ChartProps {
  label: string;
  /** Seconds since 1970 for days, else any numbers. */
  x: number[];
  series: Series[];
  isTime: boolean;
  kind: "bars" | "lines";
  /** What the points are called where they are no days. */
  labels?: string[];
  currency?: string;
}

const HEIGHT = 240;
/** As many series as have a colour of their own. */
export const MAX_SERIES = 10;

/** A colour of the style sheet as a canvas knows it: `light-dark()` is resolved only where it is used. */
function colour(name: string): string {
  const probe = document.body.appendChild(document.createElement("i"));
  probe.style.color = `var(${name})`;
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

export const seriesColour = (at: number) => `var(--series-${at % MAX_SERIES})`;

/** Sums upwards of what is positive and downwards of what is negative, so that each part keeps its height. */
function stacked(series: Series[]): (number | null)[][] {
  const points = series[0]?.values.length ?? 0;
  const up = new Array<number>(points).fill(0);
  const down = new Array<number>(points).fill(0);
  return series.map(({ values }) =>
    values.map((value, at) => {
      const side = (value ?? 0) < 0 ? down : up;
      side[at] = (side[at] ?? 0) + (value ?? 0);
      return side[at] ?? 0;
    }),
  );
}

/** `2026-01-31` for the first day, `02-07` for the others. */
const dayTexts = (_: uPlot, ticks: number[]) =>
  ticks.map((tick, at) => new Date(tick * 1_000).toISOString().slice(at === 0 ? 0 : 5, 10));

function options(props: ChartProps, width: number): uPlot.Options {
  const isBars = props.kind === "bars";
  const half = props.isTime ? 43_200 : 0.5;
  const axis = { stroke: colour("--dim"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
  const drawn = props.series.map(({ name }, at): uPlot.Series => {
    const paint = colour(`--series-${at % MAX_SERIES}`);
    const bars = isBars ? { paths: uPlot.paths.bars?.({ size: [0.8, 40], gap: 1 }), fill: paint, width: 0 } : { width: 2 };
    return { label: name, stroke: paint, points: { show: !isBars && props.x.length < 40 }, ...bars };
  });
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, drag: { x: false }, points: { show: !isBars } },
    // Room for half a bar at both ends.
    scales: {
      x: { time: props.isTime, range: isBars ? (_, min, max) => [min - half, max + half] : undefined },
      // The length of a bar is its value: it begins at zero.
      y: { range: isBars ? (_, min, max) => uPlot.rangeNum(Math.min(0, min), Math.max(0, max), 0.1, true) : undefined },
    },
    axes: [{ ...axis, values: props.labels ? (_, ticks) => ticks.map((at) => visible(props.labels?.[at] ?? "")) : dayTexts, space: 70, size: 32 }, { ...axis, size: 60, values: (_, ticks) => ticks.map(compact) }],
    // What is stacked highest is painted first.
    series: [{}, ...(isBars ? drawn.reverse() : drawn)],
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1_000), "UTC"),
  };
}

/** Draws; the numbers are in a table beside it. */
export function Chart(props: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const tip = useRef<HTMLParagraphElement>(null);
  const { x, series, kind, isTime, currency } = props;
  const dark = isDark.value;
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const lines = kind === "bars" ? stacked(series).reverse() : series.map(({ values }) => values);
    const chart = new uPlot(options(props, element.clientWidth), [x, ...lines] as uPlot.AlignedData, element);
    const show = ({ cursor: { idx } }: uPlot) => {
      if (!tip.current) return;
      const at = idx == null ? undefined : x[idx];
      if (idx == null || at === undefined) {
        tip.current.textContent = "\u00a0";
        return;
      }
      const title = isTime ? new Date(at * 1_000).toISOString().slice(0, 10) : (props.labels?.[idx] ?? String(at));
      const found = series.filter(({ values }) => values[idx]);
      const texts = found.map(({ name, values }) => `${name} ${currency ? amount(String(values[idx]), currency) : values[idx]}`);
      tip.current.textContent = visible(`${title}: ${texts.join(" · ") || "nothing"}${currency && texts.length > 0 ? ` ${currency}` : ""}`);
    };
    (chart.hooks.setCursor ??= []).push(show);
    const resized = new ResizeObserver(() => chart.setSize({ width: element.clientWidth, height: HEIGHT }));
    resized.observe(element);
    return () => {
      resized.disconnect();
      chart.destroy();
    };
  }, [x, series, kind, dark]);
  return (
    <figure class="chart">
      <div ref={box} role="img" aria-label={props.label} />
      <p ref={tip} class="tip" aria-hidden="true">
        {"\u00a0"}
      </p>
    </figure>
  );
}
