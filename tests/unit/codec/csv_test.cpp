#include "agent/codec/csv.h"

#include "tests/support/catch.h"

using namespace rivulet;
using codec::CsvField;
using codec::CsvReader;

namespace {

// Rows as "a|b" with quoted fields in <>; or the error.
std::string rows_of(std::string_view text, std::size_t piece) {
  std::string rows;
  CsvReader reader([&](const std::vector<CsvField>& fields) -> result<void> {
    for (std::size_t i = 0; i < fields.size(); ++i) rows += (i == 0 ? "" : "|") + (fields[i].quoted ? "<" + fields[i].text + ">" : fields[i].text);
    rows += ';';
    return {};
  });
  for (std::size_t at = 0; at < text.size(); at += piece)
    if (auto fed = reader.feed(text.substr(at, piece)); !fed) return rows + fed.error().message;
  if (auto done = reader.finish(); !done) return rows + done.error().message;
  return rows;
}

}  // namespace

TEST_CASE("csv is read as RFC 4180 says, in pieces of any size") {
  const std::pair<std::string, std::string> cases[] = {
      {"a,b\n1,2\n", "a|b;1|2;"},
      {"a,b\r\n1,2", "a|b;1|2;"},
      {"\"a,b\",\"c\"\"d\"\n\"line\nend\",\n", "<a,b>|<c\"d>;<line\nend>|;"},
      {"\n\r\na\n\n", "a;"},
      {"\"\"\n", "<>;"},
      {",\n", "|;"},
      {"\xEF\xBB\xBFid,name\n1,x\n", "id|name;1|x;"},
      {"\xEF\xBB\xBF\"id\"\n", "<id>;"},
      {"\xEF\xBBx\n", "\xEF\xBBx;"},
      {"\xEF\xBB", "\xEF\xBB;"},
      {"", ""},
      {" a , b \n", " a | b ;"},
  };
  for (const auto& [text, expected] : cases)
    for (const std::size_t piece : {1, 2, 3, 1000}) {
      INFO(text << " in pieces of " << piece);
      CHECK(rows_of(text, piece) == expected);
    }
}

TEST_CASE("what is no csv is said with its line") {
  const std::pair<std::string, std::string> cases[] = {
      {"a\nb\"c\n", "a;line 2: a quote stands within a field without quotes"},
      {"a\n\"b\"c\n", "a;line 2: something follows the closing quote of a field"},
      {"a\n\"b\nc\n", "a;line 2: a quote is not closed"},
      {"a\n\"x\ny\"\nb\rc", "a;<x\ny>;line 4: a carriage return stands in a field without quotes"},
      {"\"" + std::string((1 << 20) + 1, 'x'), "line 1: a row is longer than 1 MiB (is a quote not closed?)"},
      {std::string(5000, ','), "line 1: has more than 4096 fields"},
  };
  for (const auto& [text, expected] : cases) CHECK(rows_of(text, 4096) == expected);
}

TEST_CASE("a csv row may be as long as its bound with its line end, and no longer, in pieces of any size") {
  const std::string longest(CsvReader::kMaxRowBytes - 1, 'x');
  for (const std::size_t piece : {std::size_t{4095}, std::size_t{65536}, std::size_t{2} << 20}) {
    INFO("pieces of " << piece);
    CHECK((rows_of(longest + "\n" + longest + "\n", piece) == longest + ";" + longest + ";"));
    CHECK_THAT(rows_of("a\n" + longest + "x\n", piece), ContainsSubstring("line 2: a row is longer than 1 MiB"));
  }
}
