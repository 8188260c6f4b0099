import hooks from 'eslint-plugin-react-hooks';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

export default defineConfig(
    globalIgnores(['src/generated/', 'eslint.config.js']),
    tseslint.configs.strictTypeChecked,
    tseslint.configs.stylisticTypeChecked,
    // The rules of hooks themselves; its other rules are for the React Compiler, which is not used here.
    {
        plugins: { 'react-hooks': hooks },
        rules: { 'react-hooks/rules-of-hooks': 'error', 'react-hooks/exhaustive-deps': 'error' },
    },
    {
        languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
        linterOptions: { reportUnusedDisableDirectives: 'error' },
        rules: {
            '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
            '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
            'no-restricted-syntax': [
                'error',
                {
                    selector: 'JSXAttribute[name.name="style"] Property > Literal.value',
                    message: 'Write a CSS module. Only computed values may be in `style`.',
                },
            ],
        },
    },
    // The pages of users have no style properties of Mantine, which write inline styles.
    {
        files: [
            'src/{app,charts}/**',
            'src/pages/{account,launcher,secret,session,share}/**',
            'src/pages/admin/catalogue/**',
            'src/pages/*.tsx',
        ],
        rules: {
            'no-restricted-syntax': [
                'error',
                {
                    selector:
                        'JSXAttribute[name.name=/^(style|styles|m[trblxy]?|p[trblxy]?|w|h|ma[wh]|mi[wh]|c|bg|f[wz]|ta|tt|td|lh)$/]',
                    message: 'Write a CSS module.',
                },
            ],
        },
    },
);
