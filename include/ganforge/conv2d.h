// Geometry of two-dimensional convolutions, and how their kernels are chosen.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

namespace ganforge {

/// Rows or columns of zeros (of nothing, strictly) around an image.
struct Padding2d {
  Padding2d() = default;
  Padding2d(std::int64_t all) : top(all), bottom(all), left(all), right(all) {}
  Padding2d(std::int64_t vertical, std::int64_t horizontal)
      : top(vertical), bottom(vertical), left(horizontal), right(horizontal) {}
  Padding2d(std::int64_t t, std::int64_t b, std::int64_t l, std::int64_t r) : top(t), bottom(b), left(l), right(r) {}

  std::int64_t top = 0, bottom = 0, left = 0, right = 0;
};

/// y[n, p, q, k] = Σ over r, s, c of x[n, p·stride − top + r·dilation, …, c]·w[k, r, s, c]; sizes that the stride does
/// not divide round down.
struct Conv2dOptions {
  std::array<std::int64_t, 2> stride = {1, 1};  ///< vertical, horizontal
  Padding2d padding = {};
  std::array<std::int64_t, 2> dilation = {1, 1};
  std::int64_t groups = 1;
};

/// A transposed convolution: the output is as large as the smallest image that conv2d with these options maps to x, plus
/// `output_padding` rows and columns.
struct ConvTranspose2dOptions {
  std::array<std::int64_t, 2> stride = {1, 1};
  Padding2d padding = {};
  std::array<std::int64_t, 2> dilation = {1, 1};
  std::int64_t groups = 1;
  std::array<std::int64_t, 2> output_padding = {0, 0};
};

/// Who computes convolutions. What an entry cannot do falls to the next one that can: own, library, direct.
enum class ConvMode {
  automatic,  ///< by a rule on shapes: kernels/conv2d.h
  library,    ///< oneDNN, cuDNN
  own,        ///< ganforge's kernels wherever there is one
  direct      ///< plain loops: the oracle
};

/// How a device chooses kernels for its convolutions when a program is compiled.
struct ConvPolicy {
  ConvMode mode = ConvMode::automatic;
  /// Measured choices: convolution, as describe() of kernels/conv2d.h names it, → algorithm. They go before the rule.
  std::map<std::string, std::string> chosen;
  bool tune = false;  ///< measure each convolution that is not in `chosen`, and keep the fastest there
};

}  // namespace ganforge
