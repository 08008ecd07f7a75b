#!/bin/sh
# The compiler for members of the workspace (RUSTC_WORKSPACE_WRAPPER): tells libFuzzer which branches of this
# project's libraries and of the targets were taken. Dependencies are not members, so they are those that every
# other build uses.
case "$*" in
*"--crate-name epro_notify "*"--crate-type lib "* | *"--crate-name chassis"*"--crate-type lib "* | *"--crate-name fuzz "*)
    exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares
    ;;
esac
exec "$@"
