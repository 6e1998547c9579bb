import sys

from dbnet.cli.infer import main

if __name__ == "__main__":
    sys.exit(main())
