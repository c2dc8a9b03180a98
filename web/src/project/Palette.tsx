/** Ctrl+K: projects, runs, protocols and actions by a few words. */

import { useEffect, useId, useMemo, useRef, useState } from "react";
import { useGraph } from "../api/graph";
import { useCatalogue, useProjects } from "../api/queries";
import { useMayChange } from "../api/session";
import { navigate, to, usePlace } from "../router";
import { Dialog } from "../ui/Dialog";
import { Icon } from "../ui/Icon";
import { closePalette, openPalette, usePaletteOpen } from "../ui/palette";
import { currentTheme, setTheme } from "../ui/theme";
import { found, type Command } from "./commands";
import { lastIn } from "./filter";
import { PROJECT_DIALOGS, setFragment } from "./dialogs";
import "./palette.css";

export function Palette() {
  const open = usePaletteOpen();
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      openPalette();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  const { path } = usePlace();
  const project = path[0] === "p" ? (path[1] ?? "") : "";
  if (!open) return null;
  return project ? <InProject key={project} project={project} /> : <Outside />;
}

function useOutside(): Command[] {
  const projects = useProjects();
  return useMemo(() => {
    const theme: Command = { id: "theme", group: "Action", icon: "sun", text: "Switch light and dark", words: "theme colours", go: () => setTheme(currentTheme() === "dark" ? "light" : "dark") };
    const list: Command = { id: "projects", group: "Action", icon: "folder", text: "All projects", go: () => navigate(to.projects()) };
    const every = (projects.data ?? []).map((each): Command => ({ id: `p ${each.folder}`, group: "Project", icon: "folder", text: each.name, words: each.folder, go: () => navigate(to.project(each.folder)) }));
    return [list, theme, ...every];
  }, [projects.data]);
}

function Outside() {
  return <Choosing commands={useOutside()} />;
}

function InProject({ project }: { project: string }) {
  const graph = useGraph(project);
  const catalogue = useCatalogue();
  const mayChange = useMayChange();
  const outside = useOutside();
  const commands = useMemo(() => {
    const nodes = graph.data?.nodes ?? [];
    const view = (mode: string, text: string): Command => ({ id: `as ${mode}`, group: "Action", icon: mode === "" ? "tree" : mode === "list" ? "list" : "cards", text, words: "view show", go: () => navigate(to.shown({ "show-as": mode })) });
    const last = (id: string, text: string, states: string[]): Command[] => {
      const run = lastIn(nodes, states);
      return run ? [{ id, group: "Action", icon: "forward", text, words: run.run, go: () => navigate(to.run(project, run.run)) }] : [];
    };
    const dialogs = PROJECT_DIALOGS.filter((each) => mayChange || !each.changes).map(
      (each): Command => ({ id: each.name, group: "Action", icon: each.icon, text: each.title, words: each.words, go: () => setFragment(each.name) }),
    );
    const runs = [...nodes].reverse().map((node): Command => ({ id: node.run, group: "Run", icon: "play", text: `${node.run} ${node.label || node.protocol}`, words: `${node.protocol} ${node.state} ${node.tags.join(" ")}`, go: () => navigate(to.run(project, node.run)) }));
    const protocols = mayChange ? (catalogue.data ?? []).filter((entry) => !entry.error).map((entry): Command => ({ id: entry.id, group: "Protocol", icon: "plus", text: entry.id, words: entry.words, go: () => navigate(to.form(project, entry.id)) })) : [];
    return [...last("last running", "Go to the last running run", ["running", "queued", "blocked"]), ...last("last failed", "Go to the last failed run", ["failed", "lost"]), view("", "Show as canvas"), view("list", "Show as list"), view("cards", "Show as cards"), ...dialogs, ...outside.filter((each) => each.group === "Action"), ...runs, ...protocols, ...outside.filter((each) => each.group === "Project")];
  }, [graph.data, catalogue.data, mayChange, outside, project]);
  return <Choosing commands={commands} />;
}

function Choosing({ commands }: { commands: Command[] }) {
  const [search, setSearch] = useState("");
  const [place, setPlace] = useState(0);
  const list = useRef<HTMLUListElement>(null);
  const id = useId();
  const shown = useMemo(() => found(commands, search), [commands, search]);
  const at = Math.min(place, shown.length - 1);
  useEffect(() => {
    void list.current?.children[at]?.scrollIntoView({ block: "nearest" });
  }, [at, shown]);
  const go = (command: Command | undefined) => {
    if (!command) return;
    closePalette();
    command.go();
  };
  const onKey = (event: React.KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Enter") go(shown[at]);
    if (!step && event.key !== "Enter") return;
    event.preventDefault();
    if (step && shown.length) setPlace((at + step + shown.length) % shown.length);
  };
  return (
    <Dialog title="Go to" onClose={closePalette}>
      <input
        className="input"
        role="combobox"
        aria-label="Projects, runs, protocols, actions"
        aria-expanded="true"
        aria-controls={id}
        aria-activedescendant={shown[at] ? `${id}-${at}` : undefined}
        placeholder="A run, a protocol, a project, an action"
        value={search}
        onChange={(event) => (setSearch(event.target.value), setPlace(0))}
        onKeyDown={onKey}
      />
      <ul ref={list} id={id} role="listbox" aria-label="Found" className="palette">
        {shown.map((command, number) => (
          <li key={`${command.group} ${command.id}`} id={`${id}-${number}`} role="option" aria-selected={number === at} onClick={() => go(command)}>
            <Icon name={command.icon} size={14} />
            <span className="grow">{command.text}</span>
            <span className="soft">{command.group}</span>
          </li>
        ))}
      </ul>
      {shown.length === 0 && <p className="soft">Nothing is called “{search}”.</p>}
    </Dialog>
  );
}
