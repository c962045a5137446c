# Debian amd64 (x86-64, for a build machine of another kind or against another Debian than its own): package g++-x86-64-linux-gnu.
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(TARGET x86_64)
set(TRIPLE x86_64-linux-gnu)
set(QEMU qemu-x86_64)
include(${CMAKE_CURRENT_LIST_DIR}/debian.cmake)
