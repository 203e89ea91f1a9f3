/* SPDX-License-Identifier: MIT */
/* Numbers are yours to choose; these are Linux'. */
#ifndef BARE_METAL_ERRNO_H
#define BARE_METAL_ERRNO_H

#define ENOENT 2
#define EIO 5
#define EAGAIN 11
#define ENOMEM 12
#define EFAULT 14
#define EBUSY 16
#define EEXIST 17
#define ENODEV 19
#define EINVAL 22
#define ENOSPC 28
#define ERANGE 34
#define ENODATA 61
#define EPROTO 71
#define EBADMSG 74
#define EILSEQ 84
#define EMSGSIZE 90
#define EPROTONOSUPPORT 93
#define ENOTSUP 95
#define ENOBUFS 105
#define ENOTCONN 107
#define ESHUTDOWN 108
#define ETIMEDOUT 110
#define EALREADY 114
#define EREMOTEIO 121
#define ECANCELED 125

#endif
