/** All parameters and inputs, those changed from their defaults first to the eye. */

import { useProtocol } from "../api/queries";
import type { RunDetail } from "../api/schema";
import { navigate, to } from "../router";
import { number } from "../ui/format";

interface Reference {
  run: string;
  output: string;
}

export const references = (given: unknown): Reference[] => (Array.isArray(given) ? given : [given]) as Reference[];

export function ParametersTab({ project, run }: { project: string; run: RunDetail }) {
  const { data: schema } = useProtocol(run.protocol.includes(":") ? "" : run.protocol);
  return (
    <table className="facts">
      <tbody>
        {Object.entries(run.inputs).map(([name, given]) => (
          <tr key={name}>
            <th scope="row">{schema?.properties[name]?.["x-label"] ?? name}</th>
            <td>
              {references(given).map((each) => (
                <button key={`${each.run}.${each.output}`} type="button" className="button plain" onClick={() => navigate(to.run(project, each.run))}>
                  {each.run}.{each.output}
                </button>
              ))}
            </td>
          </tr>
        ))}
        {Object.entries(run.parameters).map(([name, value]) => {
          const field = schema?.properties[name];
          const changed = field && JSON.stringify(field.default ?? null) !== JSON.stringify(value);
          return (
            <tr key={name} className={changed ? "changed" : undefined} title={field?.description}>
              <th scope="row">{field?.["x-label"] ?? name}</th>
              <td>
                {number(value)} {value !== null && field?.["x-unit"]}
              </td>
            </tr>
          );
        })}
        <tr>
          <th scope="row">Seed</th>
          <td>{run.seed}</td>
        </tr>
      </tbody>
    </table>
  );
}
