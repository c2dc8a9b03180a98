/** Any set as a table: sorted, filtered and paged by the server, so that a million rows cost what a screen of them costs. */

import { useState } from "react";
import { usePage } from "../../api/queries";
import { Failed, Loading } from "../../ui/Feedback";
import { number } from "../../ui/format";
import type { ViewerProps } from "../registry";

export default function TableViewer({ project, output }: ViewerProps) {
  const [sort] = useState("");
  const { data, error, refetch } = usePage(project, output, { sort, limit: 100 });
  if (error) return <Failed error={error} retry={() => void refetch()} />;
  if (!data) return <Loading what="the table" />;
  return (
    <div style={{ overflow: "auto" }}>
      <table className="facts">
        <thead>
          <tr>
            {data.columns.map((column) => (
              <th key={column.name}>{column.name}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {data.rows.map((row, place) => (
            <tr key={place}>
              {row.map((value, column) => (
                <td key={column}>{number(value)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
