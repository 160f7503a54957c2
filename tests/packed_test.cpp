// The packed data set (docs/packed.md), and conversion to another size.
#include "src/data/resize.h"
#include "tests/files.h"

#include <ganforge/data.h>
#include <ganforge/error.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <zlib.h>

#include <cstring>

namespace ganforge::test {
namespace {

HostDataset sample_data() {
  HostDataset data;
  data.name = "sample";
  data.sample = Shape{2, 3, 1};
  data.count = 5;
  std::vector<std::uint8_t> pixels;
  for (int i = 0; i < 30; ++i) pixels.push_back(static_cast<std::uint8_t>(7 * i));
  data.pixels = std::move(pixels);
  data.labels = {0, 2, 1, 1, 0};
  data.classes = {"a", "ß \"quoted\"", "c"};
  data.notes = {"1 image: turned"};
  return data;
}

void expect_equal(const HostDataset& a, const HostDataset& b) {
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.sample, b.sample);
  EXPECT_EQ(a.count, b.count);
  EXPECT_EQ(a.pixels, b.pixels);
  EXPECT_EQ(a.labels, b.labels);
  EXPECT_EQ(a.classes, b.classes);
  EXPECT_EQ(a.notes, b.notes);
}

TEST(Packed, RoundTrip) {
  TemporaryFolder folder;
  HostDataset data = sample_data();
  write_packed(folder / "x.gfd", data);
  HostDataset back = read_packed(folder / "x.gfd");
  expect_equal(back, data);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(back.pixels.data()) % 64, 0u);
  EXPECT_EQ(folder.entries(), 1);
  back = find_dataset((folder / "x.gfd").string());  // told by its content
  expect_equal(back, data);
  EXPECT_EQ(back.format, "packed");

  data.labels.clear();
  data.classes.clear();
  write_packed(folder / "x.gfd", data);  // in the place of the old one, which is still mapped
  expect_equal(read_packed(folder / "x.gfd"), data);
  EXPECT_EQ(back.labels.size(), 5u);
  EXPECT_EQ(back.pixels[29], 203);
}

TEST(Packed, NamesThatAreNotUtf8AreReplaced) {
  TemporaryFolder folder;
  HostDataset data = sample_data();
  data.classes[0] = "\xff";
  write_packed(folder / "x.gfd", data);
  EXPECT_EQ(read_packed(folder / "x.gfd").classes[0], "\xef\xbf\xbd");
}

TEST(Packed, DataThatAreNotWhatTheySayAreRefused) {
  TemporaryFolder folder;
  const auto refused = [&](auto change) {
    HostDataset data = sample_data();
    change(data);
    EXPECT_THROW(write_packed(folder / "x.gfd", data), ShapeError);
  };
  refused([](HostDataset& d) { d.count = 4; });
  refused([](HostDataset& d) { d.count = 0; });
  refused([](HostDataset& d) { d.sample = {2, 3}; });
  refused([](HostDataset& d) { d.labels.pop_back(); });
  refused([](HostDataset& d) { d.labels[1] = 3; });
  refused([](HostDataset& d) { d.labels[1] = -1; });
  refused([](HostDataset& d) { d.classes.clear(); });
  EXPECT_EQ(folder.entries(), 0);
}

TEST(Packed, EveryTruncationAndAppendedByteIsAnError) {
  TemporaryFolder folder;
  write_packed(folder / "x.gfd", sample_data());
  const std::string whole = slurp(folder / "x.gfd");
  for (std::size_t length = whole.size(); length-- > 0;) {
    std::filesystem::resize_file(folder / "x.gfd", length);
    const std::string message = format_error([&] { read_packed(folder / "x.gfd"); });
    EXPECT_NE(message.find("x.gfd"), std::string::npos) << length;
  }
  write(folder / "x.gfd", whole + "?");
  EXPECT_NE(format_error([&] { read_packed(folder / "x.gfd"); }).find("cut short or damaged"), std::string::npos);
}

// Pixels have no checksum; zeros between the parts carry nothing.
TEST(Packed, EveryFlippedBitOfTheHeaderIsAnError) {
  TemporaryFolder folder;
  write_packed(folder / "x.gfd", sample_data());
  std::uint32_t header_bytes = 0;
  std::memcpy(&header_bytes, slurp(folder / "x.gfd").data() + 12, 4);
  for (std::size_t bit = 0; bit < 8 * (24 + header_bytes); ++bit) {
    flip_bit(folder / "x.gfd", bit);
    EXPECT_NE(format_error([&] { read_packed(folder / "x.gfd"); }), "") << bit;
    flip_bit(folder / "x.gfd", bit);
  }
  EXPECT_EQ(read_packed(folder / "x.gfd").count, 5);
}

/// A file with this header and a right checksum over it, and so many bytes behind.
std::string with_header(const nlohmann::json& json, std::size_t rest) {
  std::string header = json.is_string() ? json.get<std::string>() : json.dump();
  header.resize((24 + header.size() + 63) / 64 * 64 - 24, ' ');
  const std::uint32_t numbers[] = {1, static_cast<std::uint32_t>(header.size()),
                                   static_cast<std::uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(header.data()),
                                                                    static_cast<uInt>(header.size()))),
                                   0};
  return std::string("\x89GFD\r\n\x1a\n", 8) + std::string(reinterpret_cast<const char*>(numbers), sizeof numbers) +
         header + std::string(rest, '\0');
}

TEST(Packed, HeadersThatLieAreRefused) {
  TemporaryFolder folder;
  nlohmann::json good = {{"name", "x"},
                         {"shape", {2, 4, 4, 1}},
                         {"classes", nlohmann::json::array()},
                         {"notes", nlohmann::json::array()},
                         {"labels_offset", 0},
                         {"pixels_offset", 128}};
  const auto message = [&](const nlohmann::json& header, std::size_t rest = 32) {
    write(folder / "x.gfd", with_header(header, rest));
    return format_error([&] { read_packed(folder / "x.gfd"); });
  };
  EXPECT_EQ(message(good), "");
  EXPECT_EQ(read_packed(folder / "x.gfd").pixels.size(), 32u);
  const auto changed = [&](const std::string& key, nlohmann::json value) {
    nlohmann::json header = good;
    header[key] = std::move(value);
    return message(header);
  };
  for (const auto& [key, value] : good.items()) {
    EXPECT_NE(changed(key, nullptr).find(key), std::string::npos);
    nlohmann::json without = good;
    without.erase(key);
    EXPECT_NE(message(without).find(key), std::string::npos);
  }
  const std::uint64_t big = std::uint64_t{1} << 40, huge = std::uint64_t{1} << 63;
  const std::vector<std::vector<std::uint64_t>> shapes = {
      {0, 4, 4, 1}, {2, 4, 4}, {2, 4, 4, 1, 1}, {2, 4, 4, 2}, {big, big, big, 1}, {huge, 2, 1, 1}, {1, 4, 4, 1}};
  for (const std::vector<std::uint64_t>& shape : shapes) EXPECT_NE(changed("shape", shape), "") << shape.size();
  for (const std::vector<double>& shape : {std::vector<double>{2, 4, 4, 1}, {-2, 4, 4, 1}})
    EXPECT_NE(changed("shape", shape), "") << shape[0];
  for (const nlohmann::json& offset :
       {nlohmann::json(0), nlohmann::json(192), nlohmann::json(127), nlohmann::json(huge), nlohmann::json(-1)})
    EXPECT_NE(changed("pixels_offset", offset), "") << offset.dump();
  EXPECT_NE(changed("labels_offset", 192), "");
  EXPECT_NE(changed("classes", nlohmann::json::array({"a"})), "");
  EXPECT_NE(changed("classes", nlohmann::json::array({1})), "");
  EXPECT_NE(message("[]"), "");
  EXPECT_NE(message("{"), "");
  std::string deep(100'000, '[');
  EXPECT_NE(message(deep), "");
}

TEST(Packed, LabelsAreChecked) {
  TemporaryFolder folder;
  write_packed(folder / "x.gfd", sample_data());
  std::string file = slurp(folder / "x.gfd");
  const std::size_t labels = file.find(std::string("\0\0\0\0\2\0\0\0\1\0\0\0", 12));
  ASSERT_NE(labels, std::string::npos);
  for (int label : {3, 255, -1}) {
    std::memcpy(file.data() + labels + 4, &label, 4);
    write(folder / "x.gfd", file);
    const std::string message = format_error([&] { read_packed(folder / "x.gfd"); });
    EXPECT_NE(message.find(fmt::format("label {} of image 1", label)), std::string::npos) << message;
  }
}

TEST(Convert, FixedSizesChangeOnlyWhereThatIsSaid) {
  TemporaryFolder folder;
  HostDataset data = sample_data();
  write_packed(folder / "x.gfd", data);
  const std::string path = (folder / "x.gfd").string();
  EXPECT_EQ(find_dataset(path, {.height = 1, .width = 1}).sample, data.sample);
  HostDataset small = find_dataset(path, {.height = 1, .width = 1, .channels = 3, .convert = true});
  EXPECT_EQ(small.sample, (Shape{1, 1, 3}));
  EXPECT_EQ(small.pixels.size(), 15u);
  EXPECT_EQ(small.labels, data.labels);
  EXPECT_EQ(small.notes.back(), "images [2, 3, 1] were made [1, 1, 3]");
  EXPECT_EQ(find_dataset(path, {.convert = true}).pixels, data.pixels);
  data.sample = {1, 1, 6};
  EXPECT_NE(format_error([&] { converted(data, {.channels = 3}); }).find("6 channels cannot be converted"),
            std::string::npos);
}

}  // namespace
}  // namespace ganforge::test
