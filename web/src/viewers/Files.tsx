/** The files of an output, to take away; maps open in ChimeraX. */

import { address, at } from "../api/client";
import { useFiles } from "../api/queries";
import { bytes } from "../ui/format";
import { Icon } from "../ui/Icon";
import "./files.css";

export function Files({ project, output }: { project: string; output: string }) {
  const { data } = useFiles(project, output);
  return (
    <details className="files">
      <summary className="button">
        <Icon name="download" /> Files
      </summary>
      <ul className="card">
        {data?.map(({ name, bytes: size }) => (
          <li key={name}>
            {size === null ? (
              <span className="soft">{name} (cleaned away)</span>
            ) : (
              <a href={address(`${at.output(project, output)}/file/${name.split("/").map(encodeURIComponent).join("/")}`)} download>
                {name}
              </a>
            )}
            <span className="soft mono">{size === null ? "" : bytes(size)}</span>
          </li>
        ))}
      </ul>
    </details>
  );
}
