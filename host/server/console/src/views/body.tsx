import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { rawPiece, type ApiFailure } from "../lib/api";
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

/** Reads a body piece by piece, each when it is asked for: nothing of the rest is held, here or by the server. */
function useBody(digest: string) {
  const [read, setRead] = useState<Read>({ text: "", size: 0, isWhole: false });
  const [isReading, setReading] = useState(true);
  const more = useRef<() => void>(() => {});
  useEffect(() => {
    const stop = new AbortController();
    const decoder = new TextDecoder();
    let all: Read = { text: "", size: 0, isWhole: false };
    const next = async () => {
      const piece = await rawPiece(digest, all.size, PIECE, stop.signal);
      const isWhole = piece.length < PIECE;
      all = { text: all.text + decoder.decode(piece, { stream: !isWhole }), size: all.size + piece.length, isWhole };
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
  const { text, size, isWhole, isReading, failure, more } = useBody(digest);
  const [shows, setShows] = useState<"pretty" | "plain">("pretty");
  const kind = useMemo(() => kindOf(text), [text.length > 0]);
  const isPretty = shows === "pretty" && kind !== "text" && isWhole && size <= MAX_PRETTY;
  const laidOut = useMemo(() => {
    if (!isPretty || kind === "csv") return visible(text);
    return visible(kind === "json" ? prettyJson(text) : prettyXml(text));
  }, [text, isPretty, kind]);
  if (failure) return <Failed failure={failure} />;
  return (
    <div aria-busy={isReading}>
      <div class="choices">
        <Choice label="Shown as" options={[["pretty", PRETTY[kind]], ["plain", "As it came"]]} value={shows} choose={setShows} />
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
        <button type="button" disabled={isReading} onClick={more}>
          Read on
        </button>
      )}
    </div>
  );
}
