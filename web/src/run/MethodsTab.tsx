/** The methods section of a paper for all that a run rests on, and what it was computed with. */

import { useProvenance } from "../api/queries";
import type { RunDetail } from "../api/schema";
import { Empty, Failed, Loading } from "../ui/Feedback";
import { moment, number } from "../ui/format";
import { toast } from "../ui/Toasts";

interface Props {
  project: string;
  run: RunDetail;
}

export function Copyable({ title, text }: { title: string; text: string }) {
  return (
    <section>
      <div className="row">
        <h2 className="grow">{title}</h2>
        <button type="button" className="button" onClick={() => void navigator.clipboard.writeText(text).then(() => toast(`${title} copied`))}>
          Copy
        </button>
      </div>
      <p className="prose">{text}</p>
    </section>
  );
}

export function MethodsTab({ project, run }: Props) {
  const { data, error } = useProvenance(project, run.run, run.state);
  if (error) return <Failed error={error} />;
  if (!data) return <Loading what="the methods" />;
  if (!data.methods.text) return <Empty>There is something to write once the run has finished.</Empty>;
  return (
    <>
      <Copyable title="Methods" text={data.methods.text} />
      {data.methods.bibtex && <Copyable title="BibTeX" text={data.methods.bibtex} />}
    </>
  );
}

export function ProvenanceTab({ project, run }: Props) {
  const { data, error } = useProvenance(project, run.run, run.state);
  if (error) return <Failed error={error} />;
  if (!data) return <Loading what="the provenance" />;
  return (
    <table className="facts">
      <tbody>
        <tr>
          <th scope="row">Made</th>
          <td>{moment(data.created)}</td>
        </tr>
        <tr>
          <th scope="row">Computed because</th>
          <td>{data.why || "–"}</td>
        </tr>
        {Object.entries(run.outputs).map(([name, head]) => (
          <tr key={name}>
            <th scope="row">Hash of {name}</th>
            <td className="mono break">{head.hash}</td>
          </tr>
        ))}
        {Object.entries(data.environment ?? {}).map(([name, value]) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td className="break">{number(value)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
