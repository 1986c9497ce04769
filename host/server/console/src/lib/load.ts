import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { ApiFailure, sql } from "./api";
import { changes, type Topic } from "./live";

/** What is known of something that is asked for. */
export interface Load<T> {
  /** The last answer; it stays while it is asked for again. */
  value?: T;
  failure?: ApiFailure;
  isLoading: boolean;
  /** Asks again. */
  again: () => void;
}

export const asFailure = (error: unknown) =>
  error instanceof ApiFailure ? error : new ApiFailure(0, { error: "the server cannot be reached", causes: [String(error)] });

/** Asks for something, again when an input or a topic changes. */
export function useLoad<T>(ask: (signal: AbortSignal) => Promise<T>, inputs: unknown[], topics: readonly Topic[] = []): Load<T> {
  const [state, setState] = useState<Omit<Load<T>, "again">>({ isLoading: true });
  const [round, setRound] = useState(0);
  const known = useRef<string>("");
  const marks = topics.map((topic) => changes.value[topic]).join(" ");
  const key = JSON.stringify(inputs);
  const asked = useRef(marks);
  // What changes meanwhile waits for the answer: where much changes, none would ever come.
  if (!state.isLoading) asked.current = marks;
  useEffect(() => {
    const stop = new AbortController();
    // Another thing is asked for: what is shown isn't it.
    const isOther = known.current !== key;
    known.current = key;
    setState((state) => ({ ...(isOther ? {} : { value: state.value }), isLoading: true }));
    ask(stop.signal).then(
      (value) => stop.signal.aborted || setState({ value, isLoading: false }),
      (error) => stop.signal.aborted || setState((state) => ({ value: state.value, failure: asFailure(error), isLoading: false })),
    );
    return () => stop.abort();
  }, [key, asked.current, round]);
  return { ...state, again: useCallback(() => setRound((round) => round + 1), []) };
}

/** Rows of a query, asked again when it or a topic changes. */
export const useSql = <T>(query: string, topics: readonly Topic[] = []) => useLoad((signal) => sql<T>(query, signal), [query], topics);

/** What is shown together: there once all of it is. */
export const together = (loads: Load<unknown>[]): Load<true> => ({
  value: loads.every(({ value }) => value !== undefined) || undefined,
  failure: loads.find(({ failure }) => failure)?.failure,
  isLoading: loads.some(({ isLoading }) => isLoading),
  again: () => loads.forEach(({ again }) => again()),
});

/** Something that the viewer does, and how it went. */
export interface Action {
  isBusy: boolean;
  failure?: ApiFailure;
  /** What was done, to be read out. */
  done?: string;
  run: (act: () => Promise<string | void>) => void;
}

export function useAction(): Action {
  const [state, setState] = useState<Omit<Action, "run">>({ isBusy: false });
  const run = (act: () => Promise<string | void>) => {
    setState({ isBusy: true });
    act().then(
      (done) => setState({ isBusy: false, done: done ?? undefined }),
      (error) => setState({ isBusy: false, failure: asFailure(error) }),
    );
  };
  return { ...state, run };
}
