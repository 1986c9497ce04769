import { effect, signal } from "@preact/signals";

type Theme = "system" | "light" | "dark";

const KEY = "sluice-theme";
const THEMES: Theme[] = ["system", "light", "dark"];
const dark = window.matchMedia("(prefers-color-scheme: dark)");

export const theme = signal<Theme>(THEMES.find((theme) => theme === localStorage.getItem(KEY)) ?? "system");
/** Whether dark colours show now: charts are drawn anew when it changes. */
export const isDark = signal(dark.matches);

export function nextTheme(): void {
  theme.value = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length] ?? "system";
  localStorage.setItem(KEY, theme.value);
}

const settle = () => (isDark.value = theme.value === "dark" || (theme.value === "system" && dark.matches));

effect(() => {
  if (theme.value === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
  settle();
});
dark.addEventListener("change", settle);
