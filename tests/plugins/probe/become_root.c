/* Installed setuid root: says which user it runs as, after trying to be root for good. */
#include <stdio.h>
#include <unistd.h>

int main(void) {
    int refused = setuid(0);
    printf("%d %d %d\n", (int)getuid(), (int)geteuid(), refused);
    return 0;
}
