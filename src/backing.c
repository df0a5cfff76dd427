// SPDX-License-Identifier: GPL-2.0
/*
 * From a descriptor that somebody hands over to a store, as loop devices do it: what the caller may
 * do with the file, and where it is, was decided when he opened it.
 */

#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/string.h>

#include "mmapscope.h"

/* How long a path there is room for; a longer one loses its beginning. */
static const char cut_off[] = "...";

/**
 * store_backing_path() - where a file is, as the caller's root sees it
 * @file: the file
 * @buf: gets the path
 * @size: of @buf
 */
void store_backing_path(struct file *file, char *buf, size_t size)
{
	char *page = (char *)__get_free_page(GFP_KERNEL);
	char *path = page ? file_path(file, page, PAGE_SIZE) : ERR_PTR(-ENOMEM);

	if (IS_ERR(path))
		snprintf(buf, size, "%s/%pD", cut_off, file);
	else if (strlen(path) < size)
		strscpy(buf, path, size);
	else
		snprintf(buf, size, "%s%s", cut_off,
			 path + strlen(path) - (size - sizeof(cut_off)));
	free_page((unsigned long)page);
}

/* One of our own, as node or as regular file: its pages would wait for each other. */
static bool is_our_own(const struct file *file)
{
	return file->f_op == &scope_fops || file->f_mapping->a_ops == &scope_aops;
}

static struct store *open_backing(struct file *file)
{
	umode_t mode = file_inode(file)->i_mode;

	if (!(file->f_mode & FMODE_READ))
		return ERR_PTR(-EBADF);
	if (is_our_own(file))
		return ERR_PTR(-ELOOP);
	if (IS_SWAPFILE(file->f_mapping->host))
		return ERR_PTR(-EBUSY);
	if (S_ISREG(mode))
		return store_file_create(file);
	if (S_ISBLK(mode))
		return store_block_create(file);
	return ERR_PTR(S_ISDIR(mode) ? -EISDIR : -EOPNOTSUPP);
}

/**
 * store_backing_open() - make a store of what a descriptor of the caller refers to
 * @fd: the descriptor
 *
 * Return: the store, or an ERR_PTR(), whose meaning the UAPI header tells: see struct
 * mmapscope_create.
 */
struct store *store_backing_open(int fd)
{
	struct file *file = fget(fd);
	struct store *store;

	if (!file)
		return ERR_PTR(-EBADF);
	store = open_backing(file);
	fput(file);
	return store;
}
