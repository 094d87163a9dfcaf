// Submits argv[4] to argv[2] with the key argv[3], waits for its end and reads its result.
import createClient from "openapi-fetch";
import type { paths } from "./paths";

declare const process: { argv: string[] };
declare function require(name: string): any;

async function main(): Promise<void> {
  const [url, key, path] = process.argv.slice(2);
  const client = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${key}` } });
  const form = new FormData();
  form.append("image", new Blob([require("fs").readFileSync(path)]), "x.png");
  form.append("reference", "R 1");
  const submitted = await client.POST("/v1/jobs", { body: {}, bodySerializer: () => form });
  const id = submitted.data!.id;
  console.log(id);
  const params = { path: { job_id: id }, header: { Prefer: "wait=30" } };
  const waited = await client.GET("/v1/jobs/{job_id}", { params });
  console.log(waited.data!.state, waited.data!.reference);
  const result = await client.GET("/v1/jobs/{job_id}/result", { params: { path: { job_id: id } } });
  console.log((result.data as { finding: string }).finding);
}

main();
