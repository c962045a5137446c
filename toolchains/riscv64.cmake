# Debian riscv64 (64-bit RISC-V; from Debian 13 on): package g++-riscv64-linux-gnu.
set(CMAKE_SYSTEM_PROCESSOR riscv64)
set(TARGET riscv64)
set(TRIPLE riscv64-linux-gnu)
set(QEMU qemu-riscv64)
include(${CMAKE_CURRENT_LIST_DIR}/debian.cmake)
