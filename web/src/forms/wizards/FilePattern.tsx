/** Files that a pattern matches: walk to one of them, and see how many there are like it. */

import { useState } from "react";
import { useMatches } from "../../api/forms";
import { Failed } from "../../ui/Feedback";
import { counted } from "../../ui/format";
import { useSettled } from "../../ui/useSettled";
import { Browser, folderOf, joined } from "./Browser";
import type { WizardProps } from "./wizard";
import { WizardDialog } from "./WizardDialog";

/** The pattern for files like this one: all of its folder with its ending. */
export const patternLike = (path: string): string => {
  const folder = path.slice(0, path.lastIndexOf("/") + 1);
  const ending = /(\.[^./]+)(\.gz|\.bz2)?$/.exec(path.slice(folder.length))?.[0] ?? "";
  return `${folder}*${ending}`;
};

export default function FilePattern({ name, field, values, onWrite, onClose }: WizardProps) {
  const given = [values[name]].flat().map((each) => String(each ?? ""));
  const [pattern, setPattern] = useState(given[0] ?? "");
  const [folder, setFolder] = useState(folderOf(given[0] ?? ""));
  const matches = useMatches(useSettled(pattern, 250));
  const found = pattern.startsWith("/") ? matches.data : undefined;
  const told = found ? `${counted(found.count, "file")}${found.more ? " and more" : ""}` : "";
  const use = () => onWrite({ [name]: given.length > 1 ? [pattern, ...given.slice(1)] : pattern });
  return (
    <WizardDialog title={field["x-label"]} what="" result={told} disabled={pattern === ""} onUse={use} onClose={onClose}>
      <label>
        Pattern
        <input className="input mono" spellCheck={false} value={pattern} placeholder="/folder/*.mrc" aria-describedby="pattern-signs" onChange={(event) => setPattern(event.target.value)} />
      </label>
      <small id="pattern-signs" className="soft">
        * any letters, ? one letter, ** any folders, # a digit of the id, % the name. Click a file for all like it.
      </small>
      <div className="matches" aria-live="polite">
        {matches.error && pattern.startsWith("/") ? <Failed error={matches.error} /> : null}
        {found && (
          <>
            <strong>{told}</strong> <span className="soft mono">{found.first.map((path) => path.slice(path.lastIndexOf("/") + 1)).join(", ")}{found.count > found.first.length && " …"}</span>
          </>
        )}
      </div>
      <Browser
        folder={folder}
        chosen=""
        onFolder={(next) => {
          setFolder(next);
          if (next) setPattern(joined(next, "*"));
        }}
        onFile={(path) => setPattern(patternLike(path))}
      />
    </WizardDialog>
  );
}
