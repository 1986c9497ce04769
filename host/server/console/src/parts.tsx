import type { ComponentChildren } from "preact";
import { useId, useState } from "preact/hooks";
import { count, literal } from "./lib/format";
import { path } from "./lib/route";
import type { Stream } from "./lib/types";
import { Foreign, Table, Window } from "./ui";

/** Where the viewer is: the views above this one, then itself. */
export function Crumbs({ up, children }: { up: [name: string, href: string][]; children: ComponentChildren }) {
  return (
    <p class="crumbs">
      {up.map(([name, href]) => (
        <>
          <a href={href}>{name}</a> /{" "}
        </>
      ))}
      {children}
    </p>
  );
}

/** A name with its value, in a `<dl class="facts">`. */
export function Fact({ name, wide, children }: { name: string; wide?: boolean; children: ComponentChildren }) {
  return (
    <div class={wide ? "wide" : undefined}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** What is made only once somebody opens it: the server isn't asked before. */
export function Details({ summary, children }: { summary: string; children: () => ComponentChildren }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{summary}</summary>
      {isOpen && children()}
    </details>
  );
}

/** Names and values that others chose. */
export function Record({ fields }: { fields: Iterable<readonly [string, string | null | undefined]> }) {
  return (
    <dl class="record">
      {[...fields].map(([name, value]) => (
        <div>
          <dt>
            <Foreign text={name} />
          </dt>
          <dd>{value == null ? <span class="dim">null</span> : <Foreign text={value} />}</dd>
        </div>
      ))}
    </dl>
  );
}

type Option = readonly [value: string, text: string];

/** A choice of many. */
export function Select(props: { label: string; options: readonly Option[]; value: string; choose: (value: string) => void }) {
  const id = useId();
  return (
    <span class="nowrap">
      <label for={id}>{props.label}</label>{" "}
      <select id={id} value={props.value} onChange={(event) => props.choose(event.currentTarget.value)}>
        {props.options.map(([value, text]) => (
          <option value={value}>{text}</option>
        ))}
      </select>
    </span>
  );
}

/** A column: its head, what a row shows in it, and how. */
export type Column<R> = readonly [head: string, cell: (row: R, at: number) => ComponentChildren, kind?: "number" | "long" | "head"];

/** A table of one row each. `most`: as many as were asked for, so that there may be more. */
export function Rows<R>(props: { label: string; rows: readonly R[]; columns: readonly Column<R>[]; most?: number }) {
  const { label, rows, columns, most } = props;
  return (
    <>
      <Table label={label} head={columns.map(([head, , kind]) => (kind === "number" ? [head, "number"] : head))}>
        {rows.map((row, at) => (
          <tr>
            {columns.map(([, cell, kind]) =>
              kind === "head" ? <th scope="row">{cell(row, at)}</th> : <td class={kind}>{cell(row, at)}</td>,
            )}
          </tr>
        ))}
      </Table>
      {rows.length === most && <p class="dim">The first {count(most)}.</p>}
    </>
  );
}

/** A network with the account of it. */
export const accountCell = ({ network, account }: { network: string; account: string }) => (
  <>
    <Foreign text={network} /> <Foreign class="dim" text={account} />
  </>
);

export const windowCell = ({ since, until }: { since: string | null; until: string | null }) => <Window since={since} until={until} />;

export const isSameStream = (a: Stream, b: Stream) =>
  a.network === b.network && a.account === b.account && a.stream === b.stream && a.axis === b.axis;

/** Which stream, by which date. */
export function StreamName({ of }: { of: Stream }) {
  return (
    <>
      <Foreign text={of.network} /> / <Foreign text={of.account} />, {of.stream} by {of.axis}
    </>
  );
}

/** How many days a view shows. */
export const SPANS = [
  ["30", "30 days"],
  ["90", "90 days"],
  ["400", "400 days"],
] as const;

/** All attempts of a request, the latest first. */
export const requestQuery = (run: string, ids: string[]) =>
  `SELECT * FROM meta.requests WHERE run_id = ${literal(run)} AND request_id IN (${ids.map(literal).join(", ")}) ORDER BY attempt DESC, sent_at LIMIT 50`;

export const transactionLink = (row: { transaction_key: string; transaction_id: string }) => (
  <a href={path("transactions", row.transaction_key)}>
    <Foreign text={row.transaction_id} />
  </a>
);
