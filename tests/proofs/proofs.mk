# The long proofs: targets of their own, because each takes minutes or tools that few machines have.
# docs/evidence.rst has what they showed. They use the environment of `make test` unless they say so.
