import sys

from dbnet.cli.model_info import main

if __name__ == "__main__":
    sys.exit(main())
