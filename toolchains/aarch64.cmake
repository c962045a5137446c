# Debian arm64 (64-bit ARM: Raspberry Pi 3 and newer with a 64-bit system, most gateways): package g++-aarch64-linux-gnu.
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(TARGET aarch64)
set(TRIPLE aarch64-linux-gnu)
set(QEMU qemu-aarch64)
include(${CMAKE_CURRENT_LIST_DIR}/debian.cmake)
