// Posts a body of argv[3] bytes to argv[2] with the key argv[4], argv[5] times, by node:http and by fetch, and prints
// what came: a status or an error.
import http from "node:http";

const [url, size, key, times] = process.argv.slice(2);
const body = Buffer.alloc(Number(size));
const headers = { Authorization: `Bearer ${key}` };

const byHttp = () =>
  new Promise((resolve) => {
    const said = [];
    const request = http.request(url, { method: "POST", headers: { ...headers, "Content-Length": body.length } });
    request.on("error", (error) => said.push(String(error)));
    request.on("response", (answer) => {
      answer.on("error", (error) => said.push(String(error)));
      answer.on("end", () => said.push(answer.statusCode)).resume();
    });
    request.on("close", () => resolve(said.join(" ")));
    request.end(body);
  });

const byFetch = async () => {
  try {
    const answer = await fetch(url, { method: "POST", headers, body });
    await answer.text();
    return answer.status;
  } catch (error) {
    return `${error}: ${error.cause}`;
  }
};

for (let n = 0; n < Number(times); n++) {
  console.log(await byHttp());
  console.log(await byFetch());
}
