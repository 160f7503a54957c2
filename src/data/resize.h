// Images of one size out of images of any.
#pragma once

#include <ganforge/data.h>

#include <cstdint>

namespace ganforge {

/// The largest part around the centre that has the wanted proportions, resized to height × width.
///
/// Separable convolution with the triangle filter, stretched by the factor of the reduction so that every pixel of the
/// part counts; where it enlarges, that is bilinear interpolation with half-pixel centres. Weights add up to 1, beyond
/// the image's edge there is nothing. D. Schumacher, General Filtered Image Rescaling, Graphics Gems III (1992).
Image crop_and_resize(const Image& image, std::int64_t height, std::int64_t width);

/// True if the three channels agree everywhere, or there is only one.
bool is_grey(const Image& image);
/// `channels` is 1 or 3. Colour becomes Y = 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), grey is repeated.
Image with_channels(Image image, int channels);

/// Throws ConfigError unless height, width and channels of `options` are in range.
void check_options(const DatasetOptions& options);
/// Every image brought to the size and the channels that `options` want, with a note if that changes anything. Throws
/// FormatError if the samples are no images of 1 or 3 channels.
HostDataset converted(HostDataset data, const DatasetOptions& options);

}  // namespace ganforge
