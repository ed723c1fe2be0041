// Serves Azure Blob Storage from memory on a free port of the loopback until standard input ends.
// AZURITE names the folder that azurite is installed in. The first line on standard output is the server's address; the container
// `leap` is there then. Account and key are the ones that every emulator uses.

const crypto = require("node:crypto");
const http = require("node:http");
const path = require("node:path");

const ACCOUNT = "devstoreaccount1";
const KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

process.stdin.on("end", () => process.exit(0)).resume();

const print = console.log;
console.log = (line) => {
  const listening = /listens on (http:\S+)/.exec(String(line));
  if (listening) makeContainer(listening[1]);
};

function makeContainer(address) {
  const date = new Date().toUTCString();
  const version = "2021-10-04";
  const resource = `/${ACCOUNT}/${ACCOUNT}/leap`;
  const text = `PUT${"\n".repeat(12)}x-ms-date:${date}\nx-ms-version:${version}\n${resource}\nrestype:container`;
  const signature = crypto.createHmac("sha256", Buffer.from(KEY, "base64")).update(text).digest("base64");
  const headers = {
    Authorization: `SharedKey ${ACCOUNT}:${signature}`,
    "Content-Length": 0,
    "x-ms-date": date,
    "x-ms-version": version,
  };
  const request = http.request(`${address}/${ACCOUNT}/leap?restype=container`, { method: "PUT", headers }, (answer) => {
    if (answer.statusCode === 201) print(address);
    else answer.on("data", (text) => console.error(String(text))).on("end", () => process.exit(1));
  });
  request.end();
}

process.argv = [
  ...process.argv.slice(0, 2),
  ..."--silent --inMemoryPersistence --disableTelemetry --skipApiVersionCheck --blobHost 127.0.0.1 --blobPort 0".split(" "),
];
require(path.join(process.env.AZURITE, "node_modules/azurite/dist/src/blob/main.js"));
