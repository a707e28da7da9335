"""Command line."""

import os
import sys


def main() -> None:
    """Run the command line and exit.

    Every error is one line on stderr. `PIDLAB_DEBUG=1` shows the traceback of an unexpected one.
    """
    # Imported here, so that a signal during the import of a command ends with a line as well.
    from pidlab.cli.terminal import close_streams, code_of, print_error, set_up_streams, stoppable

    set_up_streams()
    try:
        with stoppable():
            from pidlab.cli.commands import run

            code = run()
            sys.stdout.flush()
    except KeyboardInterrupt as stop:
        print_error("stopped")
        code = code_of(stop)
    except BrokenPipeError:  # `| head` has read enough
        code = 1
    except Exception as error:
        if os.environ.get("PIDLAB_DEBUG"):
            raise
        code = _report_unexpected(error)
    close_streams()
    sys.exit(code)


def _report_unexpected(error: Exception) -> int:
    from pidlab.cli.terminal import print_error
    from pidlab.errors import reason

    line = reason(error).splitlines()[0]
    if isinstance(error, MemoryError) or "allocate" in line or "out of memory" in line.lower():
        print_error(f"error: not enough memory ({line}): choose smaller sizes")
    elif isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        print_error(f"error: {where}{error.strerror or line}; fix the file or choose another one")
    else:
        print_error(f"error: unexpected {line}; PIDLAB_DEBUG=1 shows the traceback, for a report")
    return 2
