/** Which columns are shown, with what each means. */

import { useState } from "react";
import type { Column } from "../../api/schema";
import { Dialog } from "../../ui/Dialog";
import { usual } from "./columns";

interface Props {
  columns: readonly Column[];
  shown: readonly string[];
  onChoose: (names: string[]) => void;
  onClose: () => void;
}

export function ColumnChooser({ columns, shown, onChoose, onClose }: Props) {
  const [search, setSearch] = useState("");
  const chosen = new Set(shown);
  const found = columns.filter((each) => `${each.name} ${each.meaning}`.toLowerCase().includes(search.toLowerCase()));
  const choose = (names: Set<string>) => onChoose(columns.map((each) => each.name).filter((name) => names.has(name)));
  const toggle = (name: string) => {
    const next = new Set(chosen);
    if (!next.delete(name)) next.add(name);
    if (next.size > 0) choose(next);
  };
  return (
    <Dialog title="Columns" onClose={onClose}>
      <input className="input" type="search" aria-label="Search columns" placeholder="Search" value={search} onChange={(event) => setSearch(event.target.value)} />
      <ul className="column-list">
        {found.map((each) => (
          <li key={each.name}>
            <label>
              <input type="checkbox" checked={chosen.has(each.name)} onChange={() => toggle(each.name)} />
              <span className="mono">{each.name}</span>
              {each.unit && <span className="soft"> {each.unit}</span>}
              <span className="soft meaning">{each.meaning}</span>
            </label>
          </li>
        ))}
        {found.length === 0 && <li className="soft">No column has this in its name or meaning.</li>}
      </ul>
      <div className="actions">
        <button type="button" className="button" onClick={() => onChoose(columns.map((each) => each.name))}>
          All
        </button>
        <button type="button" className="button" onClick={() => onChoose(usual(columns))}>
          The usual ones
        </button>
        <button type="button" className="button main" onClick={onClose}>
          Done
        </button>
      </div>
    </Dialog>
  );
}
