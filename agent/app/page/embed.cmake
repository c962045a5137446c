# cmake -DFOLDER=agent/app/page -DTO=FILE.cpp -P embed.cmake: page.html with page.css and page.js inside, and the policy that allows just
# these two by their hashes, as C++.
cmake_minimum_required(VERSION 3.25)

# The hash of `text` as a Content-Security-Policy has it: 'sha256-BASE64'. CMake gives hexadecimal.
function(policy_hash text to)
  string(SHA256 hex "${text}")
  set(alphabet "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
  set(base64 "")
  string(APPEND hex "00")  # 33 bytes are 44 characters; the last one stands for the padding
  foreach(at RANGE 0 60 6)
    string(SUBSTRING "${hex}" ${at} 6 three)
    math(EXPR bits "0x${three}")
    foreach(shift 18 12 6 0)
      math(EXPR digit "(${bits} >> ${shift}) & 63")
      string(SUBSTRING "${alphabet}" ${digit} 1 character)
      string(APPEND base64 "${character}")
    endforeach()
  endforeach()
  string(SUBSTRING "${base64}" 0 43 base64)
  set(${to} "'sha256-${base64}='" PARENT_SCOPE)
endfunction()

file(READ "${FOLDER}/page.html" page)
file(READ "${FOLDER}/page.css" style)
file(READ "${FOLDER}/page.js" script)
policy_hash("${style}" style_hash)
policy_hash("${script}" script_hash)
string(REPLACE "@STYLE@" "${style}" page "${page}")
string(REPLACE "@SCRIPT@" "${script}" page "${page}")
if(page MATCHES "\\)page\"")
  message(FATAL_ERROR "the page must not hold )page\"")
endif()
file(WRITE "${TO}" "#include \"agent/app/status_page.h\"\n\nnamespace rivulet::app {\nnamespace {\n\nconstexpr char kPage[] = R\"page(${page})page\";\n"
  "constexpr char kPolicy[] = \"default-src 'none'; script-src ${script_hash}; style-src ${style_hash}; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\";\n\n}  // namespace\n\n"
  "std::string_view status_page() { return {kPage, sizeof kPage - 1}; }\nstd::string_view status_page_policy() { return {kPolicy, sizeof kPolicy - 1}; }\n\n}  // namespace rivulet::app\n")
