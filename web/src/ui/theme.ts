/** Light, dark, or what the system says. */

type Theme = "light" | "dark";

const KEY = "cryoloom-theme";

export function currentTheme(): Theme {
  const chosen = document.documentElement.dataset.theme as Theme | undefined;
  return chosen ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

export function setTheme(theme: Theme): void {
  document.documentElement.dataset.theme = theme;
  localStorage.setItem(KEY, theme);
}

const kept = localStorage.getItem(KEY);
if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
