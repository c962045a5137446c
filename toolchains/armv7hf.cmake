# Debian armhf (32-bit ARMv7 with hardware floating point: Raspberry Pi 2 and newer, BeagleBone, i.MX6): package g++-arm-linux-gnueabihf.
set(CMAKE_SYSTEM_PROCESSOR armv7l)
set(TARGET armv7hf)
set(TRIPLE arm-linux-gnueabihf)
set(QEMU qemu-arm)
include(${CMAKE_CURRENT_LIST_DIR}/debian.cmake)
