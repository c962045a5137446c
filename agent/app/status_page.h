// The status page: one HTML document with its style and script inside, made of page/ at build time (page/embed.cmake).
//
// It lies among the binary's read-only pages: it has no memory of its own before somebody asks for it, and what the kernel maps of it (with what lies
// beside it, at once) it may drop again. Thread: any.
#pragma once
#include <string_view>

namespace rivulet::app {

std::string_view status_page();
// Its Content-Security-Policy: nothing from anywhere, but the one script and the one style by their hashes, and fetches from where it came from.
std::string_view status_page_policy();

}  // namespace rivulet::app
