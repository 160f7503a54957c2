// Format: numpy.lib.format, versions 1.0 to 3.0. The header is the literal of a Python dict.
#include <ganforge/data.h>
#include <ganforge/error.h>

#include "src/data/mapped_file.h"
#include "src/data/npy_view.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <string_view>

namespace ganforge {
namespace {

/// The few literals that NumPy writes: text, True, False, a tuple of whole numbers.
class Header {
 public:
  Header(std::string_view text, const std::string& path) : rest_(text), path_(path) {}

  void read() {
    expect('{');
    while (!take('}')) {
      const std::string_view key = read_text();
      expect(':');
      if (key == "descr")
        read_descr();
      else if (key == "fortran_order")
        fortran = read_truth();
      else if (key == "shape")
        read_shape();
      else
        fail(fmt::format("unknown key '{:.40}' in the header", key));
      if (!take(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (!rest_.empty() || descr.empty() || !has_shape) fail("the header is damaged");
  }

  std::string descr;
  bool fortran = false, has_shape = false;
  std::vector<std::int64_t> shape;

 private:
  [[noreturn]] void fail(const std::string& what) const { throw FormatError(fmt::format("{}: {}", path_, what)); }
  void skip_space() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \n"), rest_.size())); }
  bool take(char c) {
    skip_space();
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!take(c)) fail(fmt::format("the header is damaged: '{}' expected", c));
  }
  std::string_view read_text() {
    const char quote = take('"') ? '"' : '\'';
    if (quote == '\'') expect(quote);
    const std::size_t end = rest_.find(quote);
    if (end == std::string_view::npos) fail("the header is damaged: a text does not end");
    const std::string_view text = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return text;
  }
  void read_descr() {
    skip_space();
    if (rest_.starts_with('[')) fail("an array of records; expected uint8");
    descr = read_text();
  }
  bool read_truth() {
    skip_space();
    for (const auto& [word, value] : {std::pair<std::string_view, bool>{"True", true}, {"False", false}}) {
      if (!rest_.starts_with(word)) continue;
      rest_.remove_prefix(word.size());
      return value;
    }
    fail("the header is damaged: True or False expected");
  }
  void read_shape() {
    has_shape = true;
    shape.clear();
    expect('(');
    while (!take(')')) {
      skip_space();
      std::int64_t extent = 0;
      const auto [at, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), extent);
      if (error != std::errc() || extent < 0) fail("the header is damaged: an extent expected");
      rest_.remove_prefix(static_cast<std::size_t>(at - rest_.data()));
      shape.push_back(extent);
      if (!take(',')) {
        expect(')');
        break;
      }
    }
  }

  std::string_view rest_;
  const std::string& path_;
};

std::string described(const std::string& descr) {
  return descr == "<f4"   ? "float32"
         : descr == "<f8" ? "float64"
         : descr == "<f2" ? "float16"
         : descr == "|b1" ? "bool"
                          : fmt::format("'{:.20}'", descr);
}

}  // namespace

NpyView view_npy(std::span<const std::uint8_t> bytes, const std::string& path) {
  const auto fail = [&](const std::string& what) { throw FormatError(fmt::format("{}: {}", path, what)); };
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (!text.starts_with("\x93NUMPY")) fail("not a NumPy file");
  const std::size_t length_bytes = text.size() > 6 && bytes[6] == 1 ? 2 : 4, opening = 8 + length_bytes;
  if (bytes.size() < opening) fail("the file ends in its header");
  if (bytes[6] < 1 || bytes[6] > 3) fail(fmt::format("version {} of the format, expected 1 to 3", bytes[6]));
  std::size_t length = 0;
  for (std::size_t i = length_bytes; i-- > 0;) length = length << 8 | bytes[8 + i];
  if (length > bytes.size() - opening) fail("the file ends in its header");
  Header header(text.substr(opening, length), path);
  header.read();
  return {header.descr, header.fortran, header.shape, bytes.subspan(opening + length)};
}

HostDataset npy_images(const NpyView& array, std::shared_ptr<const void> owner, const std::string& path) {
  const auto fail = [&](const std::string& what) { throw FormatError(fmt::format("{}: {}", path, what)); };
  const std::vector<std::int64_t>& shape = array.shape;
  const std::string shown = fmt::format("[{}]", fmt::join(shape, ", "));
  if (array.descr != "|u1" && array.descr != "u1" && array.descr != "<u1")
    fail(fmt::format("holds {} {}, only uint8 from 0 to 255 is read: save x.astype('uint8') of values in that range",
                     described(array.descr), shown));
  if (shape.size() != 3 && shape.size() != 4)
    fail(fmt::format("holds {}, expected [count, height, width] or [count, height, width, channels]", shown));
  if (array.fortran) fail("is in Fortran order: save numpy.ascontiguousarray(x)");
  std::uint64_t wanted = 1;
  bool overflow = false, empty = false;
  for (std::int64_t extent : shape) {
    overflow |= __builtin_mul_overflow(wanted, static_cast<std::uint64_t>(extent), &wanted);
    empty |= extent == 0;
  }
  if (empty) fail(fmt::format("holds no images: {}", shown));
  if (overflow || wanted != array.values.size())
    fail(fmt::format("{} bytes of values, but the header promises {}: cut short or damaged", array.values.size(),
                     shown));
  if (shape.size() == 4 && (shape[1] == 1 || shape[1] == 3) && shape[3] != 1 && shape[3] != 3)
    fail(fmt::format("holds {}, channels first: save x.transpose(0, 2, 3, 1).copy()", shown));

  HostDataset data;
  data.count = shape[0];
  data.sample = Shape{shape[1], shape[2], shape.size() == 4 ? shape[3] : 1};
  data.pixels = Bytes(std::move(owner), array.values);
  return data;
}

HostDataset read_npy_images(const std::filesystem::path& file) {
  const auto mapped = MappedFile::open(file);
  const std::string path = file.string();
  HostDataset data = npy_images(view_npy(mapped->bytes(), path), mapped, path);
  data.name = file.filename().string();
  data.format = "NPY";
  return data;
}

}  // namespace ganforge
