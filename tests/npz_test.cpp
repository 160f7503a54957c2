// Images and labels in NumPy's archives.
#include "src/data/npz_images.h"
#include "tests/files.h"

#include <gtest/gtest.h>

#include <numeric>

namespace ganforge {
namespace {

// x = np.arange(12, dtype=np.uint8).reshape(3, 2, 2); y = np.array([2, 0, 1])
// np.savez("a.npz", x_train=x, y_train=y); np.savez_compressed("b.npz", x_train=x, y_train=y)
const std::string stored_hex =
    "504b03042d0000000000000021009a09b11cffffffffffffffff0b001400785f747261696e2e6e7079010010008c000000000000"
    "008c00000000000000934e554d5059010076007b276465736372273a20277c7531272c2027666f727472616e5f6f72646572273a"
    "2046616c73652c20277368617065273a2028332c20322c2032292c207d2020202020202020202020202020202020202020202020"
    "20202020202020202020202020202020202020202020202020202020202020200a000102030405060708090a0b504b03042d0000"
    "000000000021008a1ace13ffffffffffffffff0b001400795f747261696e2e6e7079010010009800000000000000980000000000"
    "0000934e554d5059010076007b276465736372273a20273c6938272c2027666f727472616e5f6f72646572273a2046616c73652c"
    "20277368617065273a2028332c292c207d2020202020202020202020202020202020202020202020202020202020202020202020"
    "202020202020202020202020202020202020202020202020200a020000000000000000000000000000000100000000000000504b"
    "01022d032d0000000000000021009a09b11c8c0000008c0000000b0000000000000000000000800100000000785f747261696e2e"
    "6e7079504b01022d032d0000000000000021008a1ace1398000000980000000b00000000000000000000008001c9000000795f74"
    "7261696e2e6e7079504b05060000000002000200720000009e0100000000";
const std::string packed_hex =
    "504b03042d0000000800000021009a09b11cffffffffffffffff0b001400785f747261696e2e6e7079010010008c000000000000"
    "0054000000000000009bec17ea1b10c9c850c650ad9e925a9c5ca46ea5a05e536aa8aea3a09e965f54529498179f5f94920a1277"
    "4bcc294e058a17672416a402f91ac63a0a4640a4a9a350ab401ee06260646266616563e7e0e4e20600504b03042d000000080000"
    "0021008a1ace13ffffffffffffffff0b001400795f747261696e2e6e70790100100098000000000000004a000000000000009bec"
    "17ea1b10c9c850c650ad9e925a9c5ca46ea5a06e9369a1aea3a09e965f54529498179f5f94920a12774bcc294e058a17672416a4"
    "02f91ac63a9a3a0ab50a14002e260654c008a501504b01022d032d0000000800000021009a09b11c540000008c0000000b000000"
    "0000000000000000800100000000785f747261696e2e6e7079504b01022d032d0000000800000021008a1ace134a000000980000"
    "000b0000000000000000000000800191000000795f747261696e2e6e7079504b0506000000000200020072000000180100000000";

std::string bytes(const std::string& hex) {
  std::string text;
  for (std::size_t i = 0; i < hex.size(); i += 2) text += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return text;
}

TEST(Npz, ReadsWhatNumPyWrites) {
  const test::TemporaryFolder folder;
  for (const std::string* hex : {&stored_hex, &packed_hex}) {
    test::write(folder / "a.npz", bytes(*hex));
    const HostDataset data = find_dataset((folder / "a.npz").string());
    EXPECT_EQ(data.name, "a.npz");
    EXPECT_EQ(data.format, "NPZ");
    EXPECT_EQ(data.count, 3);
    EXPECT_EQ(data.sample, (Shape{2, 2, 1}));
    std::vector<std::uint8_t> pixels(12);
    std::iota(pixels.begin(), pixels.end(), std::uint8_t{0});
    EXPECT_EQ(data.pixels, Bytes(pixels));
    EXPECT_EQ(data.labels, (std::vector<std::int32_t>{2, 0, 1}));
    EXPECT_EQ(data.classes, (std::vector<std::string>{"0", "1", "2"}));
  }
}

// Cut anywhere, or with one bit changed: an error, or the same data where the bit means nothing.
TEST(Npz, DamageIsAnError) {
  const test::TemporaryFolder folder;
  for (const std::string* hex : {&stored_hex, &packed_hex}) {
    const std::string whole = bytes(*hex);
    for (std::size_t size = 0; size < whole.size(); ++size) {
      test::write(folder / "a.npz", whole.substr(0, size));
      EXPECT_NE(test::format_error([&] { read_npz_images(folder / "a.npz"); }), "") << size;
    }
    test::write(folder / "a.npz", whole);
    const HostDataset data = read_npz_images(folder / "a.npz");
    for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
      test::flip_bit(folder / "a.npz", bit);
      try {
        const HostDataset changed = read_npz_images(folder / "a.npz");
        EXPECT_EQ(changed.pixels, data.pixels) << bit;
        if (!changed.labels.empty()) {
          EXPECT_EQ(changed.labels, data.labels) << bit;
        }
      } catch (const FormatError&) {
      }
      test::flip_bit(folder / "a.npz", bit);
    }
  }
}

}  // namespace
}  // namespace ganforge
