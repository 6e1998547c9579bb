import sys

from dbnet.cli.main import run

if __name__ == "__main__":
    sys.exit(run("export"))
