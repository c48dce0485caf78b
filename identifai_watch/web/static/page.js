// What every page does besides showing: the theme, what is live, and questions that are asked in place.
import { follow } from "./live.js";
import { askInPlace } from "./dialogs.js";

const root = document.documentElement;
const toggle = document.getElementById("theme");

function isDark() {
  if (root.dataset.theme) return root.dataset.theme === "dark";
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

function label() {
  toggle.textContent = isDark() ? "Light" : "Dark";
  toggle.setAttribute("aria-label", isDark() ? "Use light colours" : "Use dark colours");
}

toggle.hidden = false;
toggle.addEventListener("click", () => {
  const theme = isDark() ? "light" : "dark";
  root.dataset.theme = theme;
  document.cookie = `theme=${theme}; Path=/; Max-Age=31536000; SameSite=Strict`;
  label();
});
label();

// A slider that lays the heatmap over the picture.
const heat = document.getElementById("heat");
const heatmap = document.getElementById("heatmap");
if (heat && heatmap) {
  heat.hidden = false;
  const show = () => { heatmap.style.opacity = heat.value / 100; };
  heat.addEventListener("input", show);
  show();
}

const main = document.getElementById("main");
if (main.dataset.live) follow(main.dataset.live, document.getElementById("live"));
askInPlace();
