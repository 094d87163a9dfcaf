// Submits argv[4] to argv[2] with the key argv[3], waits for its end and reads its result.
import { client } from "./hey/client.gen";
import { getJob, getResult, submitJob } from "./hey/sdk.gen";

declare const process: { argv: string[] };
declare function require(name: string): any;

async function main(): Promise<void> {
  const [url, key, path] = process.argv.slice(2);
  client.setConfig({ baseUrl: url, auth: () => key });
  const image = new Blob([require("fs").readFileSync(path)]);
  const submitted = await submitJob({ body: { image, reference: "R 1" }, throwOnError: true });
  const { id } = submitted.data;
  console.log(id);
  const waited = await getJob({ path: { job_id: id }, headers: { Prefer: "wait=30" }, throwOnError: true });
  console.log(waited.data.state, waited.data.reference);
  const result = await getResult({ path: { job_id: id }, throwOnError: true });
  console.log((result.data as { finding: string }).finding);
}

main();
