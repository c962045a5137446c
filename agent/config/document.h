// What the table of settings (schema.h) says, for people and for editors. Thread: any. The texts end with a newline.
#pragma once
#include <string>

namespace rivulet::config {

// A Markdown table of every setting: its path, its default, its type and meaning. config/README.md holds it.
std::string reference();

// JSON Schema (draft 2020-12) of a configuration file as YAML reads it; config/schema.json is this. It knows each value's form, not what
// must hold between values: `rivulet check` does.
std::string json_schema();

}  // namespace rivulet::config
