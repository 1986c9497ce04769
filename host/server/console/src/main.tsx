import "./lib/shown";
import "./style.css";
import { render } from "preact";
import { useEffect, useRef } from "preact/hooks";
import icon from "./icon.svg";
import { signOut, token } from "./lib/api";
import { zone } from "./lib/format";
import { isLive, session } from "./lib/live";
import { navigate, parts, place } from "./lib/route";
import { nextTheme, theme } from "./lib/theme";
import { Completeness } from "./views/completeness";
import { Connectors } from "./views/connectors";
import { Doubts } from "./views/doubts";
import { Overview } from "./views/overview";
import { Response } from "./views/response";
import { RunDetail, Runs } from "./views/runs";
import { Settings } from "./views/settings";
import { SignIn } from "./views/signin";
import { Sql } from "./views/sql";
import { History, Transactions } from "./views/transactions";

/** The views: path, name, key after `g`. */
const VIEWS = [
  ["", "Overview", "o"],
  ["completeness", "Completeness", "c"],
  ["runs", "Runs", "r"],
  ["transactions", "Transactions", "t"],
  ["connectors", "Connectors", "n"],
  ["doubts", "Doubts and alarms", "d"],
  ["sql", "SQL", "q"],
  ["settings", "Settings", "s"],
] as const;

function View() {
  const [view = "", one, kind, two] = parts.value;
  switch (view) {
    case "":
      return <Overview />;
    case "completeness":
      return <Completeness network={one} />;
    case "runs":
      if (one && kind === "requests" && two) return <Response run={one} request={two} />;
      return one ? <RunDetail id={one} /> : <Runs />;
    case "transactions":
      return one ? <History id={one} /> : <Transactions />;
    case "connectors":
      return <Connectors one={one} />;
    case "doubts":
      return <Doubts id={one} alarm={one === "alarm" ? kind : undefined} />;
    case "sql":
      return <Sql />;
    case "settings":
      return <Settings />;
    default:
      return (
        <p class="empty">
          There is no page at {place.value.path}. <a href="/">Go to the overview</a>
        </p>
      );
  }
}

function Navigation() {
  const [view = ""] = parts.value;
  return (
    <nav aria-label="Views">
      <a class="brand" href="/" aria-label="Sluice, overview">
        <img src={icon} width="24" height="24" alt="" />
        <b>Sluice</b>
      </a>
      <ul>
        {VIEWS.map(([path, name, key]) => (
          <li>
            <a href={`/${path}`} aria-current={view === path ? "page" : undefined} title={`${name}: g ${key}`}>
              {name}
            </a>
          </li>
        ))}
      </ul>
    </nav>
  );
}

function Bar() {
  return (
    <div class="bar">
      <span class={isLive.value ? "live on" : "live"} role="status">
        <i aria-hidden="true" /> {isLive.value ? "Live" : "Not live"}
      </span>
      <span class="zone" title="Times are in this zone, with UTC beside them. Days of transactions are the network's.">
        {zone}
      </span>
      <button type="button" class="quiet" onClick={nextTheme} title="Light, dark, or as the system has it">
        {theme.value === "system" ? "System colours" : theme.value === "dark" ? "Dark" : "Light"}
      </button>
      <span class="who">{session.value ? `${session.value.token} (${session.value.role})` : ""}</span>
      <button type="button" class="quiet" onClick={() => signOut()}>
        Sign out
      </button>
    </div>
  );
}

/** `g` and a letter goes to a view, `/` to the view's search. */
function useKeys() {
  useEffect(() => {
    let isGoing = false;
    const press = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      if (event.metaKey || event.ctrlKey || event.altKey || target.closest("input, textarea, select, dialog")) return;
      if (event.key === "/") {
        const search = document.querySelector<HTMLElement>("input[type=search], textarea");
        if (search) event.preventDefault();
        search?.focus();
      }
      const view = isGoing && VIEWS.find(([, , key]) => key === event.key);
      if (view) navigate(`/${view[0]}`);
      isGoing = event.key === "g";
    };
    document.addEventListener("keydown", press);
    return () => document.removeEventListener("keydown", press);
  }, []);
}

function Console() {
  const heading = useRef<HTMLHeadingElement>(null);
  const [view = ""] = parts.value;
  const name = VIEWS.find(([path]) => path === view)?.[1] ?? "Not found";
  const { path } = place.value;
  const isFirst = useRef(true);
  useKeys();
  useEffect(() => {
    document.title = `${name} – Sluice`;
    // What reads the page out begins with the view that was gone to.
    if (!isFirst.current) heading.current?.focus({ preventScroll: false });
    isFirst.current = false;
  }, [path]);
  if (!token.value) return <SignIn />;
  return (
    <>
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <Navigation />
      <main id="main" tabIndex={-1}>
        <header class="top">
          <h1 ref={heading} tabIndex={-1}>
            {name}
          </h1>
          <Bar />
        </header>
        <View key={path} />
      </main>
    </>
  );
}

const root = document.getElementById("console");
if (root) render(<Console />, root);
