import sys

from dbnet.cli.zoo import main

if __name__ == "__main__":
    sys.exit(main())
