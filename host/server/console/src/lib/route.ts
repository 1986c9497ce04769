import { computed, signal } from "@preact/signals";

const here = () => ({ path: window.location.pathname, search: window.location.search });

/** Where the viewer is. */
export const place = signal(here());

/** The path's parts, decoded. */
export const parts = computed(() =>
  place.value.path
    .split("/")
    .filter((part) => part !== "")
    .map((part) => {
      try {
        return decodeURIComponent(part);
      } catch {
        return part;
      }
    }),
);

export const parameters = computed(() => new URLSearchParams(place.value.search));

/** Goes to a view. `replace`: the one before isn't kept to go back to. */
export function navigate(to: string, replace = false): void {
  window.history[replace ? "replaceState" : "pushState"](null, "", to);
  place.value = here();
}

/** Sets parameters of the URL; empty ones are left out. */
export function setParameters(changes: Record<string, string>, replace = true): void {
  const all = new URLSearchParams(place.value.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === "") all.delete(name);
    else all.set(name, value);
  }
  const text = all.toString();
  navigate(place.value.path + (text ? `?${text}` : ""), replace);
}

/** The URL of a view, its parts encoded. */
export const path = (...all: (string | number)[]) => `/${all.map((part) => encodeURIComponent(part)).join("/")}`;

window.addEventListener("popstate", () => (place.value = here()));

// Links of the page itself change the view, not the document.
document.addEventListener("click", (event) => {
  const link = (event.target as Element | null)?.closest?.("a[href]") as HTMLAnchorElement | null;
  const isPlain = !event.defaultPrevented && event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
  if (!link || !isPlain || link.target || link.hasAttribute("download") || link.origin !== window.location.origin) return;
  event.preventDefault();
  const goal = link.pathname + link.search;
  if (goal !== place.value.path + place.value.search) navigate(goal);
  if (link.hash) document.getElementById(link.hash.slice(1))?.focus();
});
