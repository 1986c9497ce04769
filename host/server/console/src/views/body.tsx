import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { rawPiece, type ApiFailure } from "../lib/api";
import { decode, kindOf, MAX_CELLS, parseCsv, prettyJson, prettyXml, type BodyKind } from "../lib/body";
import { bytes, count, visible } from "../lib/format";
import { asFailure } from "../lib/load";
import { Choice, Failed, Foreign, Table } from "../ui";

/** Bytes that are read at once. */
const PIECE = 256_000;
/** A larger body isn't laid out: only shown as it is. */
const MAX_PRETTY = 2_000_000;
const MAX_ROWS = 500;

interface Read {
  bytes: Uint8Array;
  isWhole: boolean;
  failure?: ApiFailure;
}

const NOTHING: Read = { bytes: new Uint8Array(0), isWhole: false };

/** Reads a body piece by piece, each when it is asked for: nothing of the rest is held, here or by the server. */
function useBody(digest: string) {
  const [read, setRead] = useState(NOTHING);
  const [isReading, setReading] = useState(true);
  const more = useRef<() => void>(() => {});
  useEffect(() => {
    const stop = new AbortController();
    let all = NOTHING;
    const next = async () => {
      const piece = await rawPiece(digest, all.bytes.length, PIECE, stop.signal);
      const bytes = new Uint8Array(all.bytes.length + piece.length);
      bytes.set(all.bytes);
      bytes.set(piece, all.bytes.length);
      all = { bytes, isWhole: piece.length < PIECE };
      return all;
    };
    more.current = () => {
      setReading(true);
      const failed = (error: unknown) => ({ ...all, failure: asFailure(error) });
      void next()
        .catch(failed)
        .then((read) => {
          if (stop.signal.aborted) return;
          setRead(read);
          setReading(false);
        });
    };
    more.current();
    return () => stop.abort();
  }, [digest]);
  return { ...read, isReading, more: () => more.current() };
}

const PRETTY: Record<BodyKind, string> = { json: "JSON, laid out", xml: "XML, laid out", csv: "Table", text: "Text" };

function AsTable({ text }: { text: string }) {
  const table = useMemo(() => parseCsv(text, MAX_ROWS + 1), [text]);
  const [head = [], ...rows] = table.rows;
  return (
    <>
      <Table label="The body as a table" head={["", ...head]}>
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
      {table.isCut && (
        <p class="dim">
          Only its beginning: at most {MAX_ROWS} rows and {count(MAX_CELLS)} cells.
        </p>
      )}
    </>
  );
}

/** A response's body, of the type that its header states: text, whatever it holds. */
export function Body({ digest, type, record }: { digest: string; type?: string; record?: number }) {
  const { bytes: read, isWhole, isReading, failure, more } = useBody(digest);
  const { text, encoding } = useMemo(() => decode(read, type, isWhole), [read, type]);
  const size = read.length;
  const [shows, setShows] = useState<"pretty" | "plain">("pretty");
  const kind = useMemo(() => kindOf(text), [text]);
  const isPretty = shows === "pretty" && kind !== "text" && isWhole && size <= MAX_PRETTY;
  const isTable = isPretty && kind === "csv";
  const laidOut = useMemo(() => {
    if (!isPretty || isTable) return null;
    return kind === "json" ? prettyJson(text) : prettyXml(text);
  }, [text, isPretty, kind]);
  const shown = useMemo(() => visible(laidOut ?? text), [laidOut, text]);
  if (failure) return <Failed failure={failure} />;
  return (
    <div aria-busy={isReading}>
      <div class="choices">
        <Choice label="Shown as" options={[["pretty", PRETTY[kind]], ["plain", "As it came"]]} value={shows} choose={setShows} />
        <span class="dim">
          {bytes(size)}
          {isWhole ? "" : " so far"}
          {encoding === "utf-8" ? "" : ` in ${encoding}`}
          {record !== undefined && (
            <>
              ; the transaction is <a href={`#record-${record}`}>record {record}</a>, counted from 0
            </>
          )}
        </span>
      </div>
      {shows === "pretty" && kind !== "text" && size > 0 && !isTable && laidOut === null && (
        <p class="dim">{isWhole ? "It is too large to be laid out." : "It is laid out once all of it is read."}</p>
      )}
      {isTable ? (
        <AsTable text={text} />
      ) : (
        <pre class="body" tabIndex={0} aria-label="The body">
          {shown}
        </pre>
      )}
      {!isWhole && size > 0 && (
        <button type="button" disabled={isReading} onClick={more}>
          Read on
        </button>
      )}
    </div>
  );
}
