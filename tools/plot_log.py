import sys

from dbnet.cli.plot_log import main

if __name__ == "__main__":
    sys.exit(main())
