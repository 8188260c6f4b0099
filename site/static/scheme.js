// Apply the color scheme that the reader has chosen before the page is painted.
document.body.dataset.theme = localStorage.getItem('theme') || 'auto';
