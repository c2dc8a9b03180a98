/** Folders and files of the server's computer, as a list to walk through. */

import { useState } from "react";
import { useListing } from "../../api/forms";
import type { Entry } from "../../api/schema";
import { Empty, Failed, Loading } from "../../ui/Feedback";
import { counted, moment } from "../../ui/format";
import { Icon } from "../../ui/Icon";

const UNITS = ["B", "kB", "MB", "GB", "TB"];

export function bytes(size: number): string {
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log10(Math.max(size, 1)) / 3));
  return `${Number((size / 1000 ** power).toPrecision(3))} ${UNITS[power]}`;
}

/** The folder that a path or pattern lies in; empty when it names none. */
export const folderOf = (path: string): string => {
  const fixed = path.slice(0, path.search(/[*?[#%]|$/));
  return fixed.startsWith("/") ? fixed.slice(0, fixed.lastIndexOf("/")) || "/" : "";
};

export const joined = (folder: string, name: string): string => (folder === "" ? name : `${folder.replace(/\/$/, "")}/${name}`);

interface Props {
  folder: string;
  chosen: string;
  onFolder: (folder: string) => void;
  onFile: (path: string, entry: Entry) => void;
}

export function Browser({ folder, chosen, onFolder, onFile }: Props) {
  const { data, error } = useListing(folder);
  const [words, setWords] = useState("");
  const open = (next: string) => {
    setWords("");
    onFolder(next);
  };
  const has = (name: string) => name.toLowerCase().includes(words.toLowerCase());
  return (
    <div className="browser">
      <div className="row">
        <button type="button" className="button" disabled={folder === ""} onClick={() => open(data?.parent ?? "")}>
          <Icon name="back" /> Up
        </button>
        <span className="grow mono path" title={folder}>
          <bdi>{folder || "Where to look"}</bdi>
        </span>
        <input className="input search" type="search" aria-label="Search this folder" placeholder="Search this folder" value={words} onChange={(event) => setWords(event.target.value)} />
      </div>
      <div className="entries" role="group" aria-label={`Content of ${folder || "the computer"}`}>
        {error ? <Failed error={error} /> : null}
        {!data && !error && <Loading what="the folder" />}
        {data?.folders.filter(has).map((name) => (
          <button key={name} type="button" className="entry" onClick={() => open(joined(folder, name))}>
            <Icon name="folder" size={14} /> <span className="grow">{name}/</span>
          </button>
        ))}
        {data?.files.filter(({ name }) => has(name)).map((entry) => (
          <button key={entry.name} type="button" className="entry" aria-pressed={joined(folder, entry.name) === chosen} onClick={() => onFile(joined(folder, entry.name), entry)}>
            <span className="grow">{entry.name}</span>
            <small className="soft">{bytes(entry.size)}</small>
            <small className="soft">{moment(entry.changed)}</small>
          </button>
        ))}
        {data && data.folders.length + data.files.length === 0 && <Empty>No folder here, and no file that an import reads.</Empty>}
      </div>
      {data && data.left_out > 0 && <small className="soft">{counted(data.left_out, "more entry").replace("entrys", "entries")} not shown.</small>}
    </div>
  );
}
