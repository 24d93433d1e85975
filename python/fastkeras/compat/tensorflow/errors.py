"""`tf.errors`: each name is the Python exception that fastkeras raises in such a case, so `except` clauses work."""

from __future__ import annotations

from fastkeras.compat.tensorflow._missing import missing

OpError = Exception
InvalidArgumentError = ValueError
OutOfRangeError = StopIteration
NotFoundError = FileNotFoundError
AlreadyExistsError = FileExistsError
PermissionDeniedError = PermissionError
UnimplementedError = NotImplementedError
ResourceExhaustedError = MemoryError
FailedPreconditionError = RuntimeError
InternalError = RuntimeError
UnknownError = RuntimeError
AbortedError = RuntimeError
CancelledError = RuntimeError
UnavailableError = ConnectionError
DeadlineExceededError = TimeoutError
DataLossError = ValueError
UnauthenticatedError = PermissionError

__getattr__ = missing(__name__)
