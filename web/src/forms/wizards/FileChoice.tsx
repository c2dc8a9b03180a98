/** One file of the server's computer. */

import { useState } from "react";
import { Browser, folderOf } from "./Browser";
import type { WizardProps } from "./wizard";
import { WizardDialog } from "./WizardDialog";

export default function FileChoice({ name, field, values, onWrite, onClose }: WizardProps) {
  const [path, setPath] = useState(String(values[name] ?? ""));
  // Where the movies lie, the gain often lies too.
  const nearby = [values[name], values.gain, values.pattern].flat().map((each) => folderOf(String(each ?? ""))).find(Boolean);
  const [folder, setFolder] = useState(nearby ?? "");
  return (
    <WizardDialog title={field["x-label"]} what="" result="" disabled={path === ""} onUse={() => onWrite({ [name]: path })} onClose={onClose}>
      <label>
        Path
        <input className="input mono" spellCheck={false} value={path} onChange={(event) => setPath(event.target.value)} />
      </label>
      <Browser folder={folder} chosen={path} onFolder={setFolder} onFile={setPath} />
    </WizardDialog>
  );
}
