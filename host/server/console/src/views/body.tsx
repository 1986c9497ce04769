import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { rawBody, type ApiFailure } from "../lib/api";
import { kindOf, parseCsv, prettyJson, prettyXml, type BodyKind } from "../lib/body";
import { bytes, visible } from "../lib/format";
import { asFailure } from "../lib/load";
import { Choice, Failed, Foreign, Table } from "../ui";

/** Bytes that are read at once. */
const PIECE = 256_000;
/** A larger body isn't laid out: only shown as it is. */
const MAX_PRETTY = 2_000_000;
const MAX_ROWS = 500;

interface Read {
  text: string;
  size: number;
  isWhole: boolean;
  failure?: ApiFailure;
}

/** Reads a body piece by piece: the next one when it is asked for. */
function useBody(digest: string) {
  const [read, setRead] = useState<Read>({ text: "", size: 0, isWhole: false });
  const more = useRef<() => void>(() => {});
  useEffect(() => {
    const stop = new AbortController();
    const decoder = new TextDecoder();
    let all: Read = { text: "", size: 0, isWhole: false };
    // What has come and isn't shown yet.
    let rest = new Uint8Array();
    const reader = rawBody(digest, stop.signal);
    const piece = async () => {
      const bytes = await reader;
      const until = all.size + PIECE;
      while (all.size < until && !all.isWhole) {
        const { done, value } = rest.length > 0 ? { done: false, value: rest } : await bytes.read();
        const now = value?.subarray(0, until - all.size) ?? new Uint8Array();
        rest = new Uint8Array(value?.subarray(now.length) ?? []);
        const text = all.text + decoder.decode(now, { stream: !done });
        all = { text, size: all.size + now.length, isWhole: done };
      }
      setRead(all);
    };
    const begin = () => {
      piece().catch((error) => stop.signal.aborted || setRead({ ...all, failure: asFailure(error) }));
    };
    more.current = begin;
    begin();
    return () => stop.abort();
  }, [digest]);
  return { ...read, more: () => more.current() };
}

const PRETTY: Record<BodyKind, string> = { json: "JSON, laid out", xml: "XML, laid out", csv: "Table", text: "Text" };

function AsTable({ text }: { text: string }) {
  const [head = [], ...rows] = useMemo(() => parseCsv(text, MAX_ROWS + 1), [text]);
  return (
    <>
      <Table label="The body as a table" head={["", ...head.map(visible)]}>
        {rows.map((row, at) => (
          <tr>
            <td class="dim">{at}</td>
            {row.map((cell) => (
              <td>
                <Foreign text={cell} />
              </td>
            ))}
          </tr>
        ))}
      </Table>
      {rows.length === MAX_ROWS && <p class="dim">The first {MAX_ROWS} rows.</p>}
    </>
  );
}

/** A response's body: text, whatever it holds. */
export function Body({ digest, record }: { digest: string; record?: number }) {
  const { text, size, isWhole, failure, more } = useBody(digest);
  const [shows, setShows] = useState<"pretty" | "plain">("pretty");
  const kind = useMemo(() => kindOf(text), [text.length > 0]);
  const isPretty = shows === "pretty" && kind !== "text" && isWhole && size <= MAX_PRETTY;
  const laidOut = useMemo(() => {
    if (!isPretty || kind === "csv") return visible(text);
    return visible(kind === "json" ? prettyJson(text) : prettyXml(text));
  }, [text, isPretty, kind]);
  if (failure) return <Failed failure={failure} />;
  return (
    <div>
      <div class="choices">
        <Choice
          label="Shown as"
          options={[
            ["pretty", PRETTY[kind]],
            ["plain", "As it came"],
          ]}
          value={shows}
          choose={setShows}
        />
        <span class="dim">
          {bytes(size)}
          {isWhole ? "" : " so far"}
          {record === undefined ? "" : `; the transaction is record ${record}, counted from 0`}
        </span>
      </div>
      {!isPretty && shows === "pretty" && kind !== "text" && size > 0 && (
        <p class="dim">{isWhole ? "It is too large to be laid out." : "It is laid out once all of it is read."}</p>
      )}
      {isPretty && kind === "csv" ? (
        <AsTable text={text} />
      ) : (
        <pre class="body" tabIndex={0} aria-label="The body">
          {laidOut}
        </pre>
      )}
      {!isWhole && size > 0 && (
        <button type="button" onClick={more}>
          Read on
        </button>
      )}
    </div>
  );
}
