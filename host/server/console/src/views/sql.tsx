import { useEffect, useRef, useState } from "preact/hooks";
import { ownSql, sqlFile, type Rows, type SqlFormat } from "../lib/api";
import { catalogue, completions, missingColumns, type Catalogue } from "../lib/catalogue";
import { useAction, useLoad } from "../lib/load";
import { parameters, setParameters } from "../lib/route";
import { Failed, Outcome, Panel, Warnings } from "../ui";
import { Result, type Row } from "./result";

const KEY = "sluice-queries";

interface Saved {
  name: string;
  query: string;
}

const EXAMPLES: Saved[] = [
  {
    name: "Commission by month and status",
    query: `SELECT date_trunc('month', transaction_day) AS month, network, validation_status, commission_currency,
       count(*) AS transactions, sum(commission_effective) AS commission
FROM unified.live_transactions
GROUP BY ALL ORDER BY 1, 2, 3, 4`,
  },
  {
    name: "Who owes us, and for how long",
    query: `SELECT network, advertiser_name, commission_currency, sum(commission_effective) AS commission, max(age_days) AS oldest_days
FROM unified.unpaid
GROUP BY ALL ORDER BY oldest_days DESC LIMIT 100`,
  },
];

function readSaved(): Saved[] {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(found) ? found.filter((one) => typeof one?.name === "string" && typeof one?.query === "string") : [];
  } catch {
    return [];
  }
}

/** Queries that this browser keeps. */
function useSaved() {
  const [saved, setSaved] = useState(readSaved);
  const keep = (next: Saved[]) => {
    localStorage.setItem(KEY, JSON.stringify(next));
    setSaved(next);
  };
  return {
    saved,
    save: (one: Saved) => keep([...saved.filter(({ name }) => name !== one.name), one]),
    remove: (name: string) => keep(saved.filter((one) => one.name !== name)),
  };
}

/** Tables and columns, more of them as a query names native tables. */
function useCatalogue(query: string): Catalogue {
  const load = useLoad(catalogue, []);
  const [more, setMore] = useState<Catalogue | null>(null);
  const known = more ?? load.value ?? new Map();
  useEffect(() => {
    // Once the viewer pauses. What can't be known isn't offered.
    const ask = () => void missingColumns(known, query).then((found) => found && setMore(found), () => {});
    const timer = setTimeout(ask, 500);
    return () => clearTimeout(timer);
  }, [query, load.value]);
  return known;
}

interface EditorProps {
  value: string;
  change: (query: string) => void;
  run: () => void;
}

function Completions({ found, picked, accept }: { found: string[]; picked: number; accept: (text: string) => void }) {
  const take = (text: string) => (event: MouseEvent) => {
    event.preventDefault();
    accept(text);
  };
  return (
    <ul id="completions" role="listbox" aria-label="Completions" hidden={found.length === 0}>
      {found.map((text, at) => (
        <li id={`completion-${at}`} role="option" aria-selected={at === picked} onMouseDown={take(text)}>
          {text}
        </li>
      ))}
    </ul>
  );
}

function Editor({ value, change, run }: EditorProps) {
  const area = useRef<HTMLTextAreaElement>(null);
  const known = useCatalogue(value);
  const [caret, setCaret] = useState(-1);
  const [picked, setPicked] = useState(0);
  const { word, found } = caret < 0 ? { word: "", found: [] } : completions(known, value, caret);
  const accept = (text: string) => {
    const start = caret - word.length;
    change(value.slice(0, start) + text + value.slice(caret));
    setCaret(-1);
    requestAnimationFrame(() => {
      area.current?.focus();
      area.current?.setSelectionRange(start + text.length, start + text.length);
    });
  };
  const press = (event: KeyboardEvent) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      setCaret(-1);
      run();
    } else if (found.length > 0 && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      setPicked((picked + (event.key === "ArrowDown" ? 1 : found.length - 1)) % found.length);
    } else if (found.length > 0 && event.key === "Tab" && !event.shiftKey) {
      event.preventDefault();
      accept(found[picked] ?? found[0] ?? "");
    } else if (event.key === "Escape") setCaret(-1);
  };
  return (
    <div class="editor">
      <label for="query">Query: one SELECT. Ctrl+Enter runs it; Tab takes a completion.</label>
      <textarea
        id="query"
        ref={area}
        rows={8}
        spellcheck={false}
        autocapitalize="off"
        aria-controls="completions"
        aria-activedescendant={found.length > 0 ? `completion-${picked}` : undefined}
        aria-autocomplete="list"
        value={value}
        onKeyDown={press}
        onBlur={() => setCaret(-1)}
        onInput={(event) => {
          change(event.currentTarget.value);
          setCaret(event.currentTarget.selectionStart);
          setPicked(0);
        }}
      />
      <Completions found={found} picked={picked} accept={accept} />
    </div>
  );
}

const FILES: [SqlFormat, string][] = [
  ["csv", "CSV"],
  ["json", "JSON"],
  ["parquet", "Parquet"],
];

function Downloads({ query }: { query: string }) {
  const action = useAction();
  const download = async (format: SqlFormat) => {
    const url = URL.createObjectURL(await sqlFile(query, format));
    const link = document.createElement("a");
    link.href = url;
    link.download = `sluice.${format}`;
    link.click();
    // The browser has read it by then.
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  };
  return (
    <>
      <div class="row">
        <span class="dim">Download all rows:</span>
        {FILES.map(([format, name]) => (
          <button type="button" disabled={action.isBusy} onClick={() => action.run(() => download(format))}>
            {name}
          </button>
        ))}
      </div>
      <Outcome action={action} />
    </>
  );
}

function SavedQueries({ query, choose }: { query: string; choose: (query: string) => void }) {
  const { saved, save, remove } = useSaved();
  const [name, setName] = useState("");
  return (
    <details class="saved">
      <summary>Saved queries and examples</summary>
      <ul class="list">
        {[...saved, ...EXAMPLES].map((one, at) => (
          <li>
            <button type="button" class="link" onClick={() => choose(one.query)}>
              {one.name}
            </button>
            {at < saved.length && (
              <button type="button" class="quiet" aria-label={`Delete ${one.name}`} onClick={() => remove(one.name)}>
                ✕
              </button>
            )}
          </li>
        ))}
      </ul>
      <form
        class="row"
        onSubmit={(event) => {
          event.preventDefault();
          save({ name: name.trim(), query });
          setName("");
        }}
      >
        <label>
          Name <input type="text" required value={name} onInput={(event) => setName(event.currentTarget.value)} />
        </label>
        <button type="submit">Save this query</button>
      </form>
    </details>
  );
}

export function Sql() {
  const asked = parameters.value.get("q") ?? "";
  const [query, setQuery] = useState(asked || (EXAMPLES[0]?.query ?? ""));
  const [answer, setAnswer] = useState<(Rows<Row> & { query: string; seconds: number }) | null>(null);
  const action = useAction();
  const run = (text = query) =>
    action.run(async () => {
      setParameters({ q: text });
      const began = performance.now();
      const rows = await ownSql<Row>(text);
      setAnswer({ ...rows, query: text, seconds: (performance.now() - began) / 1_000 });
    });
  useEffect(() => {
    if (asked) run(asked);
  }, []);
  return (
    <div class="panels">
      <Panel wide title="Query">
        <Editor value={query} change={setQuery} run={() => run()} />
        <div class="row">
          <button type="button" class="primary" disabled={action.isBusy} onClick={() => run()}>
            {action.isBusy ? "Running …" : "Run"}
          </button>
        </div>
        <SavedQueries query={query} choose={setQuery} />
      </Panel>
      {action.failure && <Failed failure={action.failure} />}
      {answer && !action.failure && (
        <Panel wide title="Result">
          <Warnings warnings={answer.warnings} />
          <Result rows={answer.rows} seconds={answer.seconds} />
          <Downloads query={answer.query} />
        </Panel>
      )}
    </div>
  );
}
