// Convolution 4×4, stride 2, padding 1, by Winograd's minimal filtering: what its plan (conv_winograd.cpp) hands to the
// code of each instruction set.
//
// With cells of 2×2 pixels, x is an image of (P + 1) × (Q + 1) cells whose first row and column are half outside, and
// the convolution is one of 2×2 cells, stride 1, over 4·C channels: C for each of the four places ("phases") in a cell.
// On a tile of m×m outputs it is Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A with n = m + 1 points in each axis (Winograd 1980,
// Lavin & Gray 2016), d the n×n cells under the tile: n² products for m² outputs, instead of 4·m². Summed over
// channels, each of the n² points is a matrix product:
//   forward  M = V·U     V = Bᵀ x B [tile, 4C]   U = G w Gᵀ [4C, K]   y = Aᵀ M A
//   input    M = D·Uᵀ    D = A y Aᵀ [tile, K]                         x = B M Bᵀ, tiles overlap by a cell
//   weight   M = Vᵀ·D                                                 w = Gᵀ M G
// Tiles at the edge may be partly outside: what is there counts as zero and is not written.
//
// A transformed tensor is stored in panels of 32 channels: [panel][point][tile or channel][32].
#pragma once

#include "kernels/conv2d.h"

namespace ganforge {

constexpr std::int64_t winograd_panel = 32;

struct Winograd {
  ConvDirection direction;
  Activation act;
  int m;                                   // a tile has m×m outputs: 2, 4 or 7
  std::int64_t n, h, w, c, k, p, q;        // as in ConvShape
  std::int64_t tiles_h, tiles_w;           // of an image
  std::int64_t block;                      // tiles that are multiplied at once
  bool filters_first;                      // forward, input: transform all filters first, else each where it is used
  std::int64_t parts;                      // filters_first: of the images
  int threads;                             // how many have scratch
  std::int64_t shared_size, scratch_size;  // floats in the workspace, for all threads and then for each
};

}  // namespace ganforge
