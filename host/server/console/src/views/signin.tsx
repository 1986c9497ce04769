import { useState } from "preact/hooks";
import icon from "../icon.svg";
import { ApiFailure, get, signedOut, signIn, signOut, token } from "../lib/api";
import { asFailure, useAction } from "../lib/load";
import { Outcome } from "../ui";

/** Asks for a token, and tries it. */
export function SignIn() {
  const [text, setText] = useState("");
  const action = useAction();
  const enter = async () => {
    const headers = { Authorization: `Bearer ${text.trim()}` };
    try {
      await get("/v1/events", { headers });
    } catch (error) {
      const failure = asFailure(error);
      if (failure.status !== 401) throw failure;
      signOut();
      throw new ApiFailure(401, { error: "This token is not known." });
    }
    signIn(text.trim());
  };
  return (
    <main class="signin">
      <img src={icon} width="48" height="48" alt="" />
      <h1>Sluice</h1>
      {signedOut.value && !token.value && <p class="note warn">{signedOut.value}</p>}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          action.run(enter);
        }}
      >
        <label for="token">Token</label>
        <input
          id="token"
          type="password"
          autocomplete="off"
          autofocus
          required
          spellcheck={false}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
        <p class="dim">
          An operator makes one: <code>sluice tokens create NAME --role read</code>. It stays in this tab until it is closed.
        </p>
        <button type="submit" class="primary" disabled={action.isBusy}>
          Sign in
        </button>
      </form>
      <Outcome action={action} />
    </main>
  );
}
