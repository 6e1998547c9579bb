"""Load `dbnet serve` with many clients, and compare with the bare inferencer.

    python benchmarks/serve.py IMAGES [--clients 8] [--requests 400] [--checkpoint model.onnx]

The server runs in a process of its own. Printed: failures, images per
second of the server and of `TextDetInferencer` on the same files in this process, before and after,
and the 50th and 99th percentile of the answers' times.
"""

import argparse
import http.client
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from dbnet.apis.inferencer import TextDetInferencer
from dbnet.images import find_images

COMMAND = "import sys; from dbnet.cli.main import main; sys.argv[0] = 'dbnet'; sys.exit(main())"


def request(port: int, body: bytes) -> tuple[int, float]:
    """Send an image; return the status and seconds until the answer was there."""
    start = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request("POST", "/detect", body)
    response = connection.getresponse()
    response.read()
    return response.status, time.perf_counter() - start


def load(port: int, bodies: list[bytes], clients: int) -> tuple[list[int], list[float], float]:
    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(lambda body: request(port, body), bodies))
    statuses, seconds = zip(*answers)
    return list(statuses), list(seconds), time.perf_counter() - start


def bare(inferencer: TextDetInferencer, paths: list[str], batch_size: int) -> float:
    """Images per second of the inferencer alone."""
    start = time.perf_counter()
    for _ in inferencer.stream(paths, batch_size):
        pass
    return len(paths) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description="Load the server.")
    parser.add_argument("images", type=Path)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--bare-images", type=int, default=100)
    parser.add_argument("--checkpoint", help="file of dbnet export; the package's detector if none")
    args = parser.parse_args()
    paths = find_images([args.images])
    chosen = [paths[index % len(paths)] for index in range(args.requests)]
    inferencer = TextDetInferencer(checkpoint=args.checkpoint)
    rates = [bare(inferencer, chosen[: args.bare_images], 1)]
    own = ["--checkpoint", args.checkpoint] if args.checkpoint else []
    command = [sys.executable, "-c", COMMAND, "serve", "--port", "0", *own]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        line = next(line for line in server.stdout if line.startswith("listening at"))
        port = int(line.split("127.0.0.1:")[1].split(",")[0])
        bodies = [Path(path).read_bytes() for path in chosen]
        load(port, bodies[: args.clients], args.clients)  # warm
        statuses, seconds, total = load(port, bodies, args.clients)
        server.terminate()
    rates.append(bare(inferencer, chosen[: args.bare_images], 1))
    failures = sum(status != 200 for status in statuses)
    p50, p99 = np.percentile(seconds, (50, 99))
    rate, alone = len(bodies) / total, statistics.mean(rates)
    print(f"{len(bodies)} requests of {args.clients} clients: {failures} failures")
    print(f"server {rate:.2f} images/s, bare {alone:.2f} ({rates[0]:.2f}, {rates[1]:.2f})")
    print(f"share {rate / alone:.2f}; p50 {p50:.2f} s, p99 {p99:.2f} s")


if __name__ == "__main__":
    main()
