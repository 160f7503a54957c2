// Stacked-MNIST: images of which each channel is a grey image of another data set.
#pragma once

#include <ganforge/data.h>

#include <cstdint>
#include <optional>
#include <string>

namespace ganforge {

inline constexpr int stacked_channels = 3;

/// The data set that "stacked:NAME" is made from; none for another name.
std::optional<std::string> stacked_from(const std::string& name);

/// `count` images of three channels, each a grey image of `grey` drawn at random (uniformly, with replacement); a
/// function of `grey`, `count` and `seed`. With k classes below there are k³, and the class of channels of class a, b,
/// c is (a·k + b)·k + c, named "a-b-c". Metz et al., arXiv:1611.02163 (Unrolled GAN), §3.3.1. Throws FormatError unless
/// `grey` are labelled images of one channel and at most 10 classes.
HostDataset stack(const HostDataset& grey, std::int64_t count, std::uint64_t seed);

/// The channels of [height, width, 3] images as grey ones, those of an image one after the other. No labels. Throws
/// ShapeError for other images.
HostDataset unstack(const HostDataset& images);

}  // namespace ganforge
